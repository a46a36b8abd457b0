"""Answers in the shapes of the Track and Pipelines APIs: accepted, refused, unauthorized."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from cio_etl.sandbox.faults import Answer
from cio_etl.sandbox.limits import Violation

ACCEPTED: Final = Answer(200, b"{}\n")
NO_CONTENT: Final = Answer(204)
UNAUTHORIZED: Final = Answer(401, b'{"meta": {"error": "Unauthorized request"}}')


def as_json(violation: Violation) -> dict[str, Any]:
    """A violation as the Track API shows it."""
    return {"reason": violation.reason, "field": violation.field, "message": violation.message}


def refusal(status: int, violation: Violation) -> Answer:
    """Track v2's answer to a request of which nothing is applied."""
    return errors(status, [as_json(violation)])


def errors(status: int, violations: list[dict[str, Any]]) -> Answer:
    """Track v2's answer that lists errors."""
    return _json(status, {"errors": violations})


def meta_errors(status: int, messages: Sequence[str]) -> Answer:
    """The errors of Pipelines; of Track v1, those of a device's deletion and of a form."""
    return _json(status, {"meta": {"errors": list(messages)}})


def meta_error(status: int, messages: Sequence[str]) -> Answer:
    """The errors of Track v1."""
    return _json(status, {"meta": {"error": "; ".join(messages)}})


def _json(status: int, document: Any) -> Answer:
    return Answer(status, json.dumps(document).encode() + b"\n")
