"""Keys, items and requests for tests that use the sandbox."""

from __future__ import annotations

import json
from typing import Any

import httpx

from cio_etl.sandbox import Sandbox

ULID = "01HB4HBDKTFWYZCK01DMRSWRFD"
AUTH = ("sandbox", "sandbox")
APP = {"Authorization": "Bearer sandbox"}


def identify(person_id: str = "42", timestamp: object = None, /, **attributes: object) -> dict[str, Any]:
    item = {"type": "person", "action": "identify", "identifiers": {"id": person_id}, "attributes": attributes}
    return item if timestamp is None else item | {"timestamp": timestamp}


def event(person_id: str = "42", name: str = "bought", **members: object) -> dict[str, Any]:
    return {"type": "person", "action": "event", "identifiers": {"id": person_id}, "name": name} | members


def body_of(*items: object) -> bytes:
    return json.dumps({"batch": items}, ensure_ascii=False, separators=(",", ":")).encode()


def send(client: httpx.Client, sandbox: Sandbox, *items: object) -> httpx.Response:
    return client.post(f"{sandbox.url}/api/v2/batch", content=body_of(*items))


def padded(item: dict[str, Any], size: int) -> bytes:
    """The item's JSON, made this many bytes long by data of an event."""
    bare = len(json.dumps(item | {"attributes": {"a": ""}}))
    return json.dumps(item | {"attributes": {"a": "x" * (size - bare)}}).encode()
