"""The faults that the sandbox can produce. tests/load has how the loader handles them."""

from __future__ import annotations

import base64
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from cio_etl.sandbox import Answer, Faults, Sandbox
from cio_etl.sandbox.faults import CONNECTION_FAULTS, UNREADABLE
from tests.sandbox_client import APP, AUTH, ULID, body_of, event, identify, send

# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("status", [301, 302, 307, 308, 403, 404, 408, 425, 429, 500, 502, 503, 504, 522, 599])
def test_a_status_is_answered_without_applying_the_request(client: httpx.Client, status: int) -> None:
    with Sandbox(Faults(script=(str(status),), location="https://elsewhere.example/x")) as sandbox:
        answer = send(client, sandbox, identify())
        assert (answer.status_code, answer.content, "retry-after" in answer.headers) == (status, b"", False)
        assert answer.headers.get("location") == ("https://elsewhere.example/x" if status < 400 else None)
        assert len(sandbox.people) == 0
        assert send(client, sandbox, identify()).status_code == 200  # after the script
        assert sandbox.stats()["faults"] == {str(status): 1}
        assert sandbox.stats()["answers"] == {"200": 1, str(status): 1}


@pytest.mark.parametrize("status", ["429", "503"])
def test_retry_after_is_sent_as_it_is_set(client: httpx.Client, status: str) -> None:
    with Sandbox(Faults(rates={status: 1.0}, retry_after=("30", "nan"))) as sandbox:
        assert send(client, sandbox, identify()).headers.get_list("retry-after") == ["30", "nan"]


def test_retry_after_can_be_a_date(client: httpx.Client) -> None:
    with Sandbox(Faults(rates={"429": 1.0}, retry_after_date_s=3600)) as sandbox:
        headers = send(client, sandbox, identify()).headers
    at, date = (
        time.mktime(time.strptime(headers[name], "%a, %d %b %Y %H:%M:%S GMT")) for name in ("retry-after", "date")
    )
    assert 3598 <= at - date <= 3602


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_answer_with_status_200_can_be_unreadable(client: httpx.Client, name: str) -> None:
    with Sandbox(Faults(script=(name,))) as sandbox:
        answer = send(client, sandbox, identify())
        assert (answer.status_code, answer.content) == (200, UNREADABLE[name].body)
        assert len(sandbox.people) == 0


@pytest.mark.parametrize("applied", [True, False])
def test_a_script_can_contain_any_answer(client: httpx.Client, applied: bool) -> None:
    odd = Answer(207, b'{"errors":[{"batch_index":-1}]}', (("x-odd", "é"), ("content-type", "text/odd")), applied)
    with Sandbox(Faults(script=("ok", odd))) as sandbox:
        assert send(client, sandbox, identify("1")).status_code == 200
        answer = send(client, sandbox, identify("2"))
        assert (answer.status_code, answer.content) == (207, odd.body)
        assert answer.headers.get_list("content-type") == ["text/odd"]
        assert len(sandbox.people) == 1 + applied
        assert sandbox.stats()["faults"] == {"scripted answer": 1}


@pytest.mark.parametrize("status", [200, 207, 400])
def test_item_errors_can_have_another_status(client: httpx.Client, status: int) -> None:
    with Sandbox(Faults(item_error_status=status)) as sandbox:
        answer = send(client, sandbox, identify("1"), identify(""))
        assert (answer.status_code, answer.json()["errors"][0]["batch_index"]) == (status, 1)
        assert len(sandbox.people) == 1


def test_a_strict_sandbox_refuses_the_whole_batch_without_naming_an_item(client: httpx.Client) -> None:
    with Sandbox(Faults(strict=True)) as sandbox:
        answer = send(client, sandbox, identify("1"), identify(""))
        assert answer.status_code == 400
        assert answer.json()["errors"] == [
            {"reason": "invalid", "field": "batch", "message": "the batch holds an invalid item"}
        ]
        assert len(sandbox.people) == 0
        assert send(client, sandbox, identify("1")).status_code == 200


def test_the_same_valid_items_are_refused_every_time(client: httpx.Client) -> None:
    faults = Faults(seed=3, refused=0.3)
    items: list[dict[str, Any]] = [identify(str(n)) for n in range(50)]
    items += [event(str(n), id=ULID[:20] + f"{n:06d}") for n in range(50)]
    wrong = [index for index, item in enumerate(items) if faults.refuses(item)]
    assert 10 < len(wrong) < 50
    with Sandbox(faults) as sandbox:
        for _ in range(2):
            errors = send(client, sandbox, *items).json()["errors"]
            assert [error["batch_index"] for error in errors] == wrong
        (single,) = send(client, sandbox, items[wrong[0]]).json()["errors"]
        assert single["message"] == "refused on demand"
        names = {f"event {items[i]['id']}" if i >= 50 else f"id {items[i]['identifiers']['id']}" for i in wrong}
        assert sandbox.refused == names
        assert sandbox.stats()["refused_items"] == 2 * len(wrong) + 1
        assert sandbox.stats()["invalid_items"] == 0
        assert len(sandbox.people.events) == 50 - sum(index >= 50 for index in wrong)


def test_items_that_are_dropped_are_answered_as_accepted_and_only_the_activity_log_shows_them(
    client: httpx.Client,
) -> None:
    faults = Faults(seed=3, dropped=0.3)
    items = [identify(str(n), plan="pro") for n in range(50)]
    dropped = {item["identifiers"]["id"] for item in items if faults.drops(item)}
    assert 5 < len(dropped) < 30
    with Sandbox(faults) as sandbox:
        answer = send(client, sandbox, *items)
        assert (answer.status_code, answer.json()) == (200, {})
        assert {person.id for person in sandbox.people.everybody()} == {str(n) for n in range(50)} - dropped
        assert sandbox.people.counts["items_dropped"] == len(dropped)
        calls = [{"type": "identify", "userId": f"p{n}", "traits": {"plan": "pro"}} for n in range(50)]
        answer = client.post(f"{sandbox.url}/v1/batch", json={"batch": calls}, auth=("sandbox", ""))
        assert answer.status_code == 200
        assert 0 < 50 - sum(person.id.startswith("p") for person in sandbox.people.everybody() if person.id) < 50
        assert {each.reason for each in sandbox.activity} == {"dropped on demand"}


def test_the_app_api_has_a_limit_and_a_script_of_its_own(client: httpx.Client) -> None:
    faults = Faults(app_script=("ok", "503", "lost_before"), app_requests_per_second=4, retry_after=("2",))
    with Sandbox(faults) as sandbox, httpx.Client(headers=APP) as app:
        send(client, sandbox, identify("1"))
        url = f"{sandbox.url}/v1/customers/1/attributes"
        first, second = app.get(url), app.get(url)
        assert (first.status_code, second.status_code, second.headers["retry-after"]) == (200, 503, "2")
        with pytest.raises(httpx.TransportError):
            app.get(url)
        assert app.get(url).status_code == 200
        above = app.get(url)
        assert (above.status_code, above.content, "retry-after" in above.headers) == (429, b"", False)
        assert sandbox.stats()["requests"] == 1  # those that send data
        assert sandbox.workspace.app_traffic.endpoints == {"/v1/customers/{identifier}/attributes": 5}
        assert send(client, sandbox, identify("2")).status_code == 200


def test_a_smaller_body_limit_and_another_status_can_be_set(client: httpx.Client) -> None:
    with Sandbox(Faults(max_body_bytes=1_000, too_large_status=400)) as sandbox:
        refused = send(client, sandbox, *[identify(str(n)) for n in range(20)])
        assert (refused.status_code, len(sandbox.people)) == (400, 0)
        assert send(client, sandbox, identify()).status_code == 200
        assert client.post(f"{sandbox.url}/api/v2/entity", json=event(attributes={"a": "x" * 999})).status_code == 400


def test_requests_above_the_rate_are_answered_with_429(client: httpx.Client) -> None:
    with Sandbox(Faults(requests_per_second=3, retry_after=("1",))) as sandbox:
        answers = [send(client, sandbox, identify(str(n))) for n in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[-1].headers["retry-after"] == "1"
        assert len(sandbox.people) == 3
        assert sandbox.stats()["max_requests_in_a_second"] == 5


def test_a_key_can_be_revoked_and_replaced(client: httpx.Client) -> None:
    with Sandbox(Faults(key_revoked_after=2, new_api_key="fresh")) as sandbox:
        statuses = [send(client, sandbox, identify(str(n))).status_code for n in range(4)]
        assert statuses == [200, 200, 401, 401]
        assert client.get(f"{sandbox.url}/api/v1/accounts/region").status_code == 401
        with httpx.Client(auth=("sandbox", "fresh")) as rotated:
            assert send(rotated, sandbox, identify("9")).status_code == 200
    with Sandbox(Faults(key_revoked_after=0)) as sandbox:
        assert send(client, sandbox, identify()).status_code == 401


def test_of_requests_at_the_same_time_as_many_are_accepted_as_the_key_is_valid_for(client: httpx.Client) -> None:
    with Sandbox(Faults(key_revoked_after=2, latency_s=0.3)) as sandbox, ThreadPoolExecutor(6) as lanes:
        statuses = lanes.map(lambda _: send(client, sandbox, identify()).status_code, range(6))
        assert sorted(statuses) == [200, 200, 401, 401, 401, 401]


def test_an_answer_can_be_delayed(client: httpx.Client) -> None:
    with Sandbox(Faults(latency_s=0.1)) as sandbox:
        start = time.monotonic()
        send(client, sandbox, identify())
        assert time.monotonic() - start >= 0.1


def test_the_same_seed_gives_the_same_faults(client: httpx.Client) -> None:
    def statuses(seed: int) -> list[int]:
        with Sandbox(Faults(seed=seed, rates={"503": 0.3, "429": 0.2})) as sandbox:
            return [send(client, sandbox, identify()).status_code for _ in range(40)]

    first = statuses(1)
    assert first == statuses(1)
    assert first != statuses(2)
    assert set(first) == {200, 503, 429}


# ---------------------------------------------------------------- of every path

REQUESTS: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    ("/api/v2/batch", {"batch": [identify()]}, AUTH),
    ("/api/v2/entity", identify(), AUTH),
    ("/api/v1/events", {"name": "seen"}, AUTH),
    ("/api/v1/segments/7/add_customers", {"ids": ["42"]}, AUTH),
    ("/v1/batch", {"batch": [{"type": "identify", "userId": "42"}]}, ("sandbox", "")),
    ("/v1/track", {"userId": "42", "event": "x"}, ("sandbox", "")),
]


@pytest.mark.parametrize(("path", "body", "keys"), REQUESTS)
def test_faults_apply_to_every_path_that_receives_data(path: str, body: dict[str, Any], keys: tuple[str, str]) -> None:
    script = ("503", "lost_before", "lost_after", "html", Answer(207, b"{}", applied=True))
    with (
        Sandbox(Faults(script=script, retry_after=("7",)), segments=(7,)) as sandbox,
        httpx.Client(auth=keys, base_url=sandbox.url) as sender,
    ):
        unavailable = sender.post(path, json=body)
        assert (unavailable.status_code, unavailable.headers["retry-after"]) == (503, "7")
        applied = []
        for error in (httpx.ReadError, httpx.ReadError):
            with pytest.raises(error):
                sender.post(path, json=body)
            applied.append(sandbox.stats()["items"])
        assert applied == [0, 1]
        assert sender.post(path, json=body).text.startswith("<!doctype html>")
        assert sender.post(path, json=body).status_code == 207
        assert sandbox.stats()["items"] == 2
        assert sender.post(path, json=body).status_code == 200
        assert sandbox.stats()["faults"] == {
            "503": 1,
            "lost_before": 1,
            "lost_after": 1,
            "html": 1,
            "scripted answer": 1,
        }
        sandbox.set_faults(Faults(requests_per_second=0))
        assert sender.post(path, json=body).status_code == 429


def test_item_errors_on_demand_are_of_track_v2_only(client: httpx.Client) -> None:
    with Sandbox(Faults(refused=1.0), segments=(7,)) as sandbox:
        assert send(client, sandbox, identify()).status_code == 207
        for path, body, keys in REQUESTS[2:]:
            assert client.post(f"{sandbox.url}{path}", json=body, auth=keys).status_code == 200


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (
            {"type": "person", "action": "merge", "primary": {"id": "1"}, "secondary": {"email": "a@b.co"}},
            "email a@b.co",
        ),
        (
            {"type": "object", "action": "delete", "identifiers": {"object_id": 7, "object_type_id": "1"}},
            "object 1/7",
        ),
        ({"type": "object", "action": "delete", "identifiers": {"cio_object_id": "ob1"}}, "object ob1"),
        (identify() | {"identifiers": {"id": 42}}, "id 42"),
    ],
)
def test_items_that_are_refused_on_demand_are_listed_by_name(
    client: httpx.Client, item: dict[str, Any], name: str
) -> None:
    with Sandbox(Faults(refused=1.0)) as sandbox:
        assert send(client, sandbox, item).json()["errors"][0]["message"] == "refused on demand"
        assert sandbox.refused == {name}


# ---------------------------------------------------------------- connections


LOST: dict[str, tuple[type[httpx.HTTPError], bool]] = {
    "lost_before": (httpx.ReadError, False),
    "lost_after": (httpx.ReadError, True),
    "closed_after": (httpx.RemoteProtocolError, True),
    "truncated": (httpx.RemoteProtocolError, True),
    "broken_chunks": (httpx.RemoteProtocolError, True),
    "bad_gzip": (httpx.DecodingError, True),
    "header_bomb": (httpx.RemoteProtocolError, True),
    "hang_before": (httpx.ReadTimeout, False),
    "hang_after": (httpx.ReadTimeout, True),
    "drip": (httpx.ReadTimeout, True),
}


@pytest.mark.parametrize("fault", LOST)
def test_an_answer_can_be_lost_or_broken(fault: str) -> None:
    error, applied = LOST[fault]
    with (
        Sandbox(Faults(script=(fault,), drip_s=5)) as sandbox,
        httpx.Client(auth=AUTH, timeout=httpx.Timeout(10, read=0.2)) as client,
    ):
        with pytest.raises(error):
            send(client, sandbox, identify("1"))
        assert len(sandbox.people) == applied
        assert sandbox.stats()["faults"] == {fault: 1}
        assert send(client, sandbox, identify("2")).status_code == 200  # the sandbox still answers


def test_every_fault_of_a_connection_is_tried_here() -> None:
    assert set(CONNECTION_FAULTS) == {*LOST, "cut_upload", "early_413", "huge", "two_answers"}


@pytest.mark.parametrize("cut_at", range(5))
def test_an_answer_can_be_cut_at_every_byte(client: httpx.Client, cut_at: int) -> None:
    with (
        Sandbox(Faults(script=("truncated",), cut_at=cut_at)) as sandbox,
        pytest.raises(httpx.RemoteProtocolError),
        client.stream("POST", f"{sandbox.url}/api/v2/batch", content=body_of(identify(""))) as answer,
    ):
        assert answer.status_code == 207
        received = b""
        for chunk in answer.iter_bytes():
            received += chunk
        assert received == b'{"er'[:cut_at]
    assert cut_at <= 4


def test_a_connection_can_be_reset_while_it_uploads(client: httpx.Client) -> None:
    with Sandbox(Faults(script=("cut_upload",))) as sandbox:
        with pytest.raises(httpx.TransportError):
            client.post(f"{sandbox.url}/api/v2/batch", content=bytes(20_000_000))
        assert sandbox.stats()["bodies"]["number"] == 0


def test_413_can_come_before_the_body_is_read(client: httpx.Client) -> None:
    with Sandbox(Faults(script=("early_413",))) as sandbox:
        assert send(client, sandbox, identify()).status_code == 413
        assert sandbox.stats()["bodies"]["number"] == 0
        assert send(client, sandbox, identify()).status_code == 200


def test_an_answer_can_be_huge(client: httpx.Client) -> None:
    with (
        Sandbox(Faults(script=("huge",), huge_bytes=2_500_000)) as sandbox,
        client.stream("POST", f"{sandbox.url}/api/v2/batch", content=body_of(identify())) as answer,
    ):
        assert sum(len(chunk) for chunk in answer.iter_bytes()) == 2_500_000
        assert len(sandbox.people) == 1


def test_an_answer_can_drip(client: httpx.Client) -> None:
    with Sandbox(Faults(script=("drip",), drip_s=0.01)) as sandbox:
        start = time.monotonic()
        assert send(client, sandbox, identify()).text == "{}\n"
        assert time.monotonic() - start >= 0.03


def test_a_second_answer_can_follow() -> None:
    body = body_of(identify(""))
    head = (
        "POST /api/v2/batch HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Basic {base64.b64encode(b'sandbox:sandbox').decode()}",
        f"Content-Length: {len(body)}",
    )
    with (
        Sandbox(Faults(script=("two_answers",))) as sandbox,
        socket.create_connection(("127.0.0.1", sandbox.port), timeout=5) as plain,
    ):
        plain.sendall("\r\n".join((*head, "", "")).encode() + body)
        received = b""
        while not received.endswith(b"{}"):
            received += plain.recv(65536)
    assert received.startswith(b"HTTP/1.1 207")
    assert received.index(b"HTTP/1.1 200") > received.index(b"batch_index")


def test_the_sandbox_stops_without_waiting_for_an_answer_whose_client_left() -> None:
    """It would wait for an hour, and the test is ended before."""
    with Sandbox(Faults(latency_s=3_600)) as sandbox, pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{sandbox.url}/api/v2/batch", content=body_of(identify()), auth=AUTH, timeout=0.1)
