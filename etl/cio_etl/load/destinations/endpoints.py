"""What is an address of an API, to the loader? A path, what stands around items, and what answers mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cio_etl.model import ARRAY, Envelope, Verdict

# (status, headers by lower-case names, body, items that were sent, host) -> what it means
Judge = Callable[[int, Mapping[str, str], bytes, int, str], Verdict]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the items of a step go.

    What is not `repeatable` is not sent again when nobody knows whether it was taken.
    """

    path: str
    judge: Judge
    envelope: Envelope = ARRAY
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
