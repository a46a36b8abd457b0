"""The records that describe an API of Customer.io: hosts, credentials, limits, endpoints and payloads."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from pydantic import SecretStr

from cio_etl.model import ARRAY, Envelope, Verdict
from cio_etl.model import Mapping as Rules
from cio_etl.model.records import dataclass

# (status, headers with lower-case names, body, number of items sent, host) -> what the answer means
Judge = Callable[[int, Mapping[str, str], bytes, int, str], Verdict]


def variable(credential: str) -> str:
    """The name that we propose for the environment variable of a credential."""
    return f"CUSTOMERIO_{credential.upper()}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The place to which the items of a step are sent, and what its answers mean.

    Items of an endpoint that is not `repeatable` are not sent again when their answer was lost.
    """

    path: str
    judge: Judge
    envelope: Envelope = ARRAY
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Payload:
    """The item that an API takes for one operation.

    `fixed` are members that are the same in every item. `members` names, by dotted path, the part of the mapping that
    fills each of the others: parts are those of `transform/payloads.py`. With `whole`, the item is that part alone.
    """

    fixed: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    whole: str | None = None
    endpoint: Callable[[Rules], Endpoint] | None = None  # None: the API's batches
    identifier_kinds: tuple[str, ...] | None = None  # that the API takes, where they are fewer than the operation's
    identifiers_in_attributes: tuple[str, ...] = ()  # kinds that are sent as an attribute of the same name
    unsupported: Mapping[str, str] = field(default_factory=dict)  # keys of a mapping -> what to write instead
    max_relationships: int | None = None  # in one item
    divisible: bool = False  # an item with some of its parts changes these and nothing else


@dataclass(frozen=True, slots=True)
class CredentialRequest:
    """A request that changes nothing, and whose answer shows whether the credentials are accepted."""

    path: str
    body: bytes | None = None  # None: it is a GET
    headers: Mapping[str, str] = field(default_factory=dict)
    region: Callable[[bytes], str | None] | None = None  # reads the region from the answer; None: it names no region


@dataclass(frozen=True, slots=True)
class Limits:
    """What an API accepts at most."""

    requests_per_second: int
    batch_bytes: int
    item_bytes: int


@dataclass(frozen=True, slots=True)
class Api:
    """All that the program knows about one API."""

    name: str  # the value of `destination: api:`
    title: str  # the Track API is called "Track"
    description: str
    hosts: Mapping[str, str]  # by region
    credentials: tuple[str, ...]  # keys of `destination:`: the user of the basic authentication, then its password
    renewal: str  # what to do when the credentials are refused
    credential_request: CredentialRequest
    batch: Endpoint
    payloads: Mapping[str, Payload]  # by operation
    visitor_payloads: Mapping[str, Payload]  # by operation, for people with an anonymous_id
    mixed_payloads: Mapping[str, Payload]  # by operation, for people and visitors in one batch
    visitors_alone: bool  # visitors are sent apart from people, unless a mapping has visitors_in_batches
    example_key: str  # the key of a mapping's example under which this API's payload is written
    limits: Limits

    @property
    def workspace_key(self) -> str:
        """The credential that identifies the workspace."""
        return self.credentials[0]

    def authorization(self, credentials: Mapping[str, SecretStr]) -> str:
        """The header `Authorization`."""
        user, password = [*(credentials[key].get_secret_value() for key in self.credentials), ""][:2]
        return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")

    def payload(self, mapping: Rules) -> Payload:
        """The item that this API takes for the mapping's operation. Raises KeyError when it takes none."""
        if "identifiers.anonymous_id" not in mapping.targets:
            return self.payloads[mapping.operation]
        is_mixed = mapping.visitors_in_batches if self.visitors_alone else bool(mapping.alternatives)
        return (self.mixed_payloads if is_mixed else self.visitor_payloads)[mapping.operation]
