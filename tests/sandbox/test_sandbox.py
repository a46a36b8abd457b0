"""The sandbox as a server: settings, figures, pages, TLS, start and stop."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from cio_etl.sandbox import Faults, Sandbox, serve
from tests.running import spawn
from tests.sandbox_client import AUTH, ULID, body_of, event, identify, send


def test_faults_can_be_set_while_it_runs(client: httpx.Client, sandbox: Sandbox) -> None:
    assert send(client, sandbox, identify()).status_code == 200
    sandbox.set_faults(Faults(script=("500",)))
    assert send(client, sandbox, identify()).status_code == 500
    settings = {
        "rates": {"503": 1},
        "script": ["502", {"status": 418, "body": "tea", "headers": [["x-a", "b"]], "applied": True}],
        "retry_after": ["7"],
    }
    assert client.post(f"{sandbox.url}/__sandbox/faults", json=settings).json() == {}
    answers = [send(client, sandbox, identify()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [502, 418, 503]
    assert (answers[1].text, answers[1].headers["x-a"]) == ("tea", "b")
    assert answers[2].headers["retry-after"] == "7"
    assert sandbox.faults.rates == {"503": 1}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "faults are an object"),
        (b'{"speed": 1, "colour": 2}', "no such setting: colour, speed"),
        (b'{"rates": {"flood": 1}}', "no such fault: flood"),
        (b'{"script": ["777"]}', "no such fault: 777"),
        (b'{"rates": {"503": 0.7, "429": 0.4}}', "rates, refused and dropped are shares between 0 and 1"),
        (b'{"refused": 2}', "rates, refused and dropped are shares between 0 and 1"),
        (b'{"rates": 1}', "rates: Input should be a valid dictionary"),
        (b'{"rates": {"503": "x"}}', "rates: Input should be a valid number"),
        (b'{"latency_s": "soon"}', "latency_s: Input should be a valid number"),
        (b'{"script": [{"body": 1}]}', "script: "),
    ],
)
def test_wrong_faults_are_refused_with_the_reason(
    client: httpx.Client, sandbox: Sandbox, body: bytes, message: str
) -> None:
    answer = client.post(f"{sandbox.url}/__sandbox/faults", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(message)
    assert sandbox.faults == Faults()


def test_a_web_page_cannot_send_requests_to_the_sandbox(client: httpx.Client, sandbox: Sandbox) -> None:
    """Neither by a form, which cannot send this content type, nor by a host name of its own that resolves here."""
    url = f"{sandbox.url}/__sandbox/faults"
    assert client.post(url, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.get(sandbox.url, headers={"Host": "rebound.example"}).status_code == 400


def test_the_figures_are_available_as_json(client: httpx.Client, sandbox: Sandbox) -> None:
    body = body_of(identify("1"), event("1", id=ULID), identify(""))
    client.post(f"{sandbox.url}/api/v2/batch", content=body)
    stats = client.get(f"{sandbox.url}/__sandbox/stats").json()
    assert stats == sandbox.stats()
    assert stats == {
        "requests": 1,
        "endpoints": {"/api/v2/batch": 1},
        "items": 3,
        "invalid_items": 1,
        "refused_items": 0,
        "answers": {"207": 1},
        "faults": {},
        "max_requests_in_a_second": 1,
        "bodies": {"number": 1, "bytes": len(body), "largest": len(body)},
        "people": 1,
        "events": 1,
        "objects": 0,
        "relationships": 0,
        "suppressed": 0,
        "duplicate_events": 0,
        "messages": 0,
        "repeated_messages": 0,
        "effects": {"events": 1, "identifies": 1},
    }


def test_pages_show_people_and_events_and_escape_all_data(client: httpx.Client, sandbox: Sandbox) -> None:
    nasty = "<script>alert('&')</script>"
    assert "None yet." in client.get(sandbox.url).text
    items = [identify(nasty, **{nasty: nasty, "email": f'"{nasty}"@b.co'}), event(nasty, nasty, attributes={nasty: 1})]
    assert send(client, sandbox, *items, event(nasty, "late", timestamp=10**15)).status_code == 200
    (person,) = sandbox.people.everybody()
    for path in ("/", f"/people/{person.cio_id}"):
        answer = client.get(sandbox.url + path)
        assert answer.status_code == 200
        assert nasty not in answer.text
        assert "&lt;script&gt;" in answer.text
        assert "beyond year 9999" in answer.text
        assert "<script" not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "http://" not in answer.text and "https://" not in answer.text
    assert client.get(f"{sandbox.url}/people/nobody").status_code == 404


def test_pages_show_objects_devices_segments_and_merges_and_escape_all_data(
    client: httpx.Client, sandbox: Sandbox
) -> None:
    nasty = "<b>&</b>"
    thing = {"object_type_id": "1", "object_id": nasty}
    related = {"identifiers": thing, "relationship_attributes": {nasty: nasty}}
    device = {"token": nasty, "platform": "ios", "attributes": {nasty: nasty}}
    of_nasty = {"type": "person", "identifiers": {"id": nasty}}
    bare = client.get(sandbox.url).text
    assert "Suppressed" not in bare and "Latest objects" not in bare
    items = [
        identify(nasty) | {"cio_relationships": [related]},
        of_nasty | {"action": "add_device", "device": device},
        identify("2"),
        {"type": "person", "action": "merge", "primary": {"id": nasty}, "secondary": {"id": "2"}},
        of_nasty | {"action": "suppress", "identifiers": {"email": f"{nasty}@b.co"}},
        identify(nasty, id="other"),
        {"type": "object", "action": "identify", "identifiers": thing, "attributes": {nasty: nasty}},
        {"type": "object", "action": "identify_anonymous", "identifiers": thing, "anonymous_id": nasty},
    ]
    assert send(client, sandbox, *items).text == "{}\n"
    client.post(f"{sandbox.url}/api/v1/segments/7/add_customers", json={"ids": [nasty]})
    client.post(f"{sandbox.url}/api/v1/events", json={"name": nasty, "anonymous_id": nasty})
    (person,), (acme,) = sandbox.people.everybody(), sandbox.objects.everything()
    pages = {path: client.get(sandbox.url + path).text for path in (
        "/", f"/people/{person.cio_id}", f"/objects/{acme.cio_object_id}")}  # fmt: skip
    for page in pages.values():
        assert nasty not in page and "&lt;b&gt;" in page
    home, of_person, of_object = pages.values()
    for title in ("Latest objects", "Manual segments", "Latest merges", "Suppressed", "without effect", "Operations"):
        assert title in home
    assert "visitor &lt;b&gt;" in home and "relationships added" in home
    assert "only a call by cio_id can change it" in home
    assert all(title in of_person for title in ("Devices", "Related to", "Manual segments"))
    assert "Visitors" in of_object and f'href="/people/{person.cio_id}"' in of_object
    assert client.get(f"{sandbox.url}/objects/nothing").status_code == 404


def test_it_serves_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key, ca = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    issued.private_key_pem.write_to_path(key)
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    authority.cert_pem.write_to_path(ca)
    script = ("ok", "lost_after", "truncated")
    with Sandbox(Faults(script=script), ssl_certfile=certificate, ssl_keyfile=key) as sandbox:
        with httpx.Client(auth=AUTH, verify=ssl.create_default_context(cafile=ca)) as client:
            assert sandbox.url.startswith("https://127.0.0.1:")
            assert send(client, sandbox, identify("1")).status_code == 200
            for _ in script[1:]:
                with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                    send(client, sandbox, identify("2"))
            assert len(sandbox.people) == 2
        with pytest.raises(httpx.ConnectError):
            httpx.get(sandbox.url)  # this client does not trust the authority


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.1", "example.com", "::", ""])
def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback address only"):
        Sandbox(host=host)
    with pytest.raises(ValueError, match="loopback address only"):
        serve(host, 0)


def test_it_listens_on_localhost(client: httpx.Client) -> None:
    with Sandbox(host="localhost") as sandbox:
        assert send(client, sandbox, identify()).status_code == 200


def test_a_port_that_is_taken_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(OSError):
        Sandbox(port=sandbox.port)


def test_a_bad_certificate_is_an_error_before_it_listens(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(OSError):
        Sandbox(ssl_certfile=tmp_path / "bad.pem", ssl_keyfile=tmp_path / "bad.pem")


def test_it_stops_with_clients_still_connected(client: httpx.Client) -> None:
    with Sandbox() as sandbox:
        send(client, sandbox, identify())
    with pytest.raises(httpx.TransportError):
        send(client, sandbox, identify())


def test_every_setting_of_faults_can_be_written_as_json() -> None:
    assert Faults.from_json({}) == Faults()
    plain = {each.name: getattr(Faults(), each.name) for each in fields(Faults) if each.name not in ("rates", "script")}
    assert Faults.from_json(json.loads(json.dumps(plain))) == Faults()


@pytest.mark.parametrize(("signal_sent", "exit_code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_served_sandbox_ends_on_a_signal_without_output(signal_sent: signal.Signals, exit_code: int) -> None:
    program = "from cio_etl.sandbox import serve; serve(port=0, announce=lambda url: print(url, flush=True))"
    command = [sys.executable, "-W", "error", "-c", program]
    with spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        url = process.stdout.readline().strip()
        assert httpx.get(url).status_code == 200
        process.send_signal(signal_sent)
        assert (process.wait(10), process.stderr.read()) == (exit_code, "")


def test_items_of_eight_clients_arrive_once_through_every_quick_fault() -> None:
    """Each client sends its batch again until it is acknowledged."""
    shares = (
        "429",
        "503",
        "lost_before",
        "lost_after",
        "truncated",
        "bad_gzip",
        "html",
        "closed_after",
        "broken_chunks",
    )
    faults = Faults(rates=dict.fromkeys(shares, 0.06))

    def load(lane: int) -> None:
        with httpx.Client(auth=AUTH) as client:
            for row in range(0, 40, 2):
                items = [identify(str(lane), row=row), event(str(lane), id=f"{lane}{row:025d}")]
                while not acknowledged(client, items):
                    pass

    def acknowledged(client: httpx.Client, items: list[dict[str, Any]]) -> bool:
        try:
            return send(client, sandbox, *items).text == "{}\n"
        except (httpx.TransportError, httpx.DecodingError):
            return False

    with Sandbox(faults, trace="row") as sandbox:
        with ThreadPoolExecutor(8) as lanes:
            list(lanes.map(load, range(8)))
        assert len(sandbox.people.events) == 160
        assert [person.attributes["row"] for person in sandbox.people.everybody()] == [38] * 8
        assert all(person.trace == sorted(person.trace) for person in sandbox.people.everybody())
        assert set(sandbox.stats()["faults"]) == set(shares)
        applied = sandbox.stats()["items"] // 2
        assert sandbox.people.counts["duplicate_events"] == applied - 160 > 0


ANNOUNCE = """
import signal
from cio_etl.sandbox import serve

def announce(url):
    print(url, flush=True)
    signal.raise_signal(signal.SIGINT)

serve(port=0, announce=announce)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_ctrl_c_ends_it_also_while_its_address_is_announced() -> None:
    # In a process of its own: a browser of other tests has an event loop in this one.
    done = subprocess.run([sys.executable, "-c", ANNOUNCE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("http://127.0.0.1:")
