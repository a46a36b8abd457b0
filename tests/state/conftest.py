"""A state in each kind of database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from cio_etl import state
from cio_etl.state import Store


@pytest.fixture
def in_folder(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(state.open_store(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture(params=["folder", "server"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The state in each kind of database: what holds of one holds of the other."""
    if request.param == "folder":
        yield request.getfixturevalue("in_folder")
        return
    address = SecretStr(request.getfixturevalue("postgres").address)
    with contextlib.closing(state.open_store(address)) as opened:
        yield opened
