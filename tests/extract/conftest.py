"""What several kinds of sources have in their tests: an object store, and a place for copies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_etl.model import Staging
from tests.object_store import ObjectStore, object_store


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectStore]:
    with object_store() as running:
        yield running


@pytest.fixture
def store(object_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """The store, empty but for the bucket `rows`, and no keys of whoever runs the tests."""
    for name in os.environ:
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    object_server.empty()
    yield object_server
    object_server.empty()


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "stage")
