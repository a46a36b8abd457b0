"""The shop's pages, served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cio_etl.sandbox import Credentials, Sandbox
from cio_etl.ui import Access, PageServer, make_app
from tests.running import API_KEY, SITE_ID
from tests.ui.shop import SECRETS, open_shop, pages_of


@dataclass(frozen=True, slots=True)
class Shop:
    """Where the shop is, and the address of its pages."""

    folder: Path
    url: str


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder, before = tmp_path_factory.mktemp("shop"), Path.cwd()
    with pytest.MonkeyPatch.context() as patch, Sandbox(credentials=Credentials(SECRETS[0], SECRETS[0])) as sandbox:
        for name in (SITE_ID, API_KEY):
            patch.setenv(name, SECRETS[0])
        os.chdir(folder)
        try:
            open_shop(folder, sandbox.url)
            pages = pages_of(folder / ".etl", folder / "jobs")
        finally:
            os.chdir(before)
        with PageServer(make_app(pages, Access.on("127.0.0.1")), "127.0.0.1", 0) as server:
            yield Shop(folder, server.url)
