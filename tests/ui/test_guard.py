"""Who may read the pages: by which names they are called, and with which token."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import PlainTextResponse

from cio_etl.ui import Access, PageServer
from cio_etl.ui.guard import Guard

TOKEN = "the-token-of-the-tests"


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    """An application that says `inside`, behind a token."""
    app = Guard(PlainTextResponse("inside"), Access.on("127.0.0.1", token=TOKEN))
    with PageServer(app, "127.0.0.1", 0) as server, httpx.Client(base_url=server.url) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/", "/runs/x", "/live", "/live.js", "/style.css/", "/healthz/", "//healthz", "/?a=1"]
)
def test_nothing_is_inside_without_the_token(guarded: httpx.Client, path: str) -> None:
    for wrong in ("-", "x", TOKEN[:-1], f"{TOKEN} x", TOKEN.upper()):
        headers = {"Authorization": f"Bearer {wrong}", "Cookie": f"cio_etl_ui={wrong}"}
        answer = guarded.get(f"{guarded.base_url}{path}", headers=headers)
        assert answer.status_code == 401 and "inside" not in answer.text and TOKEN not in answer.text


def test_the_token_leads_inside_and_leaves_the_address(guarded: httpx.Client) -> None:
    assert guarded.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).text == "inside"
    answer = guarded.get(f"/runs/x?token=wrong&a=b%26c&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/x?a=b%26c")
    session = answer.headers["set-cookie"].partition(";")[0]
    assert TOKEN not in session and guarded.get("/runs/x", headers={"Cookie": session}).text == "inside"
    assert guarded.get("/runs/x", headers={"Cookie": f"{session}x"}).status_code == 401


def test_a_token_that_is_no_ascii_is_refused_and_breaks_nothing(guarded: httpx.Client) -> None:
    guarded.cookies.clear()
    assert guarded.get("/?token=%F0%9F%94%91").status_code == 401
    assert guarded.get("/", headers=[(b"Cookie", b"cio_etl_ui=\xff\xfe; =; a")]).status_code == 401


def test_beyond_this_machine_any_address_is_its_name_but_no_foreign_name() -> None:
    access = Access.on("0.0.0.0", ["Etl.example.com"])
    assert all(map(access.has_name, ("10.1.2.3:8090", "[fe80::1]:8090", "etl.example.com", "ETL.example.com.:80")))
    assert not any(map(access.has_name, ("evil.example", "etl.example.com.evil.example", "127.0.0.1.evil.example")))
