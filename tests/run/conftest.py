"""Fixtures of runs: a job over several nights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_etl.load.connection import Connection
from cio_etl.model import Verdict
from cio_etl.sandbox import Sandbox
from tests.nightly_step import Nights


@pytest.fixture
def nights(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Nights]:
    monkeypatch.chdir(tmp_path)
    bodies: list[bytes] = []
    post = Connection.post

    def recorded(self: Connection, body: bytes, items: int) -> Verdict:
        bodies.append(bytes(body))
        return post(self, body, items)

    monkeypatch.setattr(Connection, "post", recorded)
    yield Nights(sandbox, bodies)


@pytest.fixture
def mirror(nights: Nights) -> Nights:
    nights.step = {"sync": "mirror", "when_gone": "delete", "max_gone": "100%"}
    return nights
