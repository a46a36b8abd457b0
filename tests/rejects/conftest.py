"""A sandbox for each test of rejects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cio_etl.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(trace="row") as running:
        yield running
