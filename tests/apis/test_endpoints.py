"""Endpoints of each API; answers of the Pipelines API and of the Track API v1 mean what their references say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cio_etl.apis import endpoint
from cio_etl.apis.pipelines import endpoints as pipelines
from cio_etl.apis.track import endpoints as track
from cio_etl.errors import CredentialsRefused
from cio_etl.model import ARRAY, Accepted, Column, Envelope, Retry, Split, Stop
from tests.mapped_rows import mapping


def answer(judge: Any, status: int, body: object) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(status, {}, content, 3, "cdp.example")


BOTH = pytest.mark.parametrize("judge", [pipelines.judge, track.judge_v1])


@BOTH
def test_an_empty_object_is_an_acknowledgement(judge: Any) -> None:
    assert answer(judge, 200, {}) == Accepted()


def test_v1_may_answer_without_a_body_and_pipelines_may_not() -> None:
    assert answer(track.judge_v1, 200, b"") == Accepted()
    assert answer(pipelines.judge, 200, b"") == Retry("HTTP 200 with an unreadable body", ambiguous=True)


@BOTH
@pytest.mark.parametrize("body", [b"<html>", b"null", b"[]", b"\xff"])
def test_a_success_that_cannot_be_read_is_no_acknowledgement(judge: Any, body: bytes) -> None:
    assert answer(judge, 200, body) == Retry("HTTP 200 with an unreadable body", ambiguous=True)


@BOTH
def test_a_400_is_split_with_the_words_of_its_first_error(judge: Any) -> None:
    assert answer(judge, 400, {"meta": {"errors": ["userId is\x1b required", "b"]}}) == Split(
        "http_400", "userId is  required"
    )
    assert answer(judge, 400, {"meta": {"error": "name cannot be blank"}}) == Split("http_400", "name cannot be blank")
    assert answer(judge, 400, b"Bad Request") == Split("http_400")


@BOTH
def test_what_is_not_documented_acknowledges_nothing(judge: Any) -> None:
    assert answer(judge, 207, {}) == Split("answer_unreadable", ambiguous=True)
    assert answer(judge, 200, {"meta": {"errors": ["no"]}}) == Split("answer_unreadable", "no", ambiguous=True)


@BOTH
@pytest.mark.parametrize("body", [{"errors": ["no"]}, {"error": "no"}, {"meta": {"error": 1}}, {"errors": []}])
def test_a_success_that_reports_errors_acknowledges_nothing(judge: Any, body: object) -> None:
    assert answer(judge, 200, body) == Split("answer_unreadable", ambiguous=True)


@BOTH
def test_a_refused_key_stops_the_run(judge: Any) -> None:
    verdict = answer(judge, 401, b"")
    assert isinstance(verdict, Stop) and isinstance(verdict.error, CredentialsRefused)


def test_pipelines_is_asked_strictly_and_in_batches() -> None:
    to = endpoint("pipelines", mapping())
    assert (to.path, dict(to.headers), to.envelope) == ("/v1/batch", {"X-Strict-Mode": "1"}, ARRAY)


@pytest.mark.parametrize(
    ("how", "path", "envelope"),
    [
        (mapping(), "/api/v2/batch", ARRAY),
        (mapping("track", identifiers={"anonymous_id": Column("v")}), "/api/v1/events", Envelope(b"", b"", 1)),
        (
            mapping("add_to_segment", segment=7),
            "/api/v1/segments/7/add_customers?id_type=id",
            Envelope(b'{"ids":[', b"]}", 1_000),
        ),
        (
            mapping("remove_from_segment", segment=12, identifiers={"email": Column("e")}),
            "/api/v1/segments/12/remove_customers?id_type=email",
            Envelope(b'{"ids":[', b"]}", 1_000),
        ),
    ],
    ids=["people", "visitors", "into a segment", "out of a segment"],
)
def test_track_has_an_endpoint_for_each_kind_of_item(how: Any, path: str, envelope: Envelope) -> None:
    to = endpoint("track", how)
    assert (to.path, to.envelope, dict(to.headers)) == (path, envelope, {})


def test_what_cannot_be_undone_is_sent_once_unless_the_mapping_says_otherwise() -> None:
    assert endpoint("track", mapping("delete")).repeatable is False
    assert endpoint("track", mapping("delete", retry_unknown=True)).repeatable is True
    assert endpoint("track", mapping("suppress")).repeatable is True
