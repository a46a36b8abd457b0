"""Notices arrive by each channel at a real server or program, or a reason without secrets says why they do not."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import socket
import sys
import threading
import time
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from cio_etl.model import Channel
from cio_etl.notify import Notice, NotSent, Outcome, send_all
from cio_etl.notify.reach import reach
from tests.docs.pages import ROOT
from tests.notified import authority, channel, hook, mail_server, notice, reference
from tests.raw_server import raw_server

pytestmark = pytest.mark.slow


def sent(to: Channel, what: Notice | None = None) -> Outcome:
    (outcome,) = send_all([(to, what or notice())])
    return outcome


# ---------------------------------------------------------------- webhooks


def test_slack_gets_what_a_person_acts_on_and_no_control_characters() -> None:
    with hook() as server:
        assert sent(channel("slack", address=reference(f"{server.url}/T0/secret")), notice(page="/x/<!channel>&")) == (
            Outcome(True)
        )
    (content,) = server.contents
    assert content.keys() == {"text"} and server.paths == ["/T0/secret"]
    assert content["text"].splitlines()[:5] == [
        "*nightly failed*",
        "127.0.0.1 refused the credentials (HTTP 401) (exit code 77)",
        "since 2026-11-20 03:00 UTC",
        "to do: set the key",
        "continue: cio-etl run jobs/nightly.yaml",
    ]
    assert "report: /x/&lt;!channel&gt;&amp;" in content["text"]


def test_a_notice_names_the_folder_in_which_its_commands_start_where_it_is_known() -> None:
    here = notice()
    assert here.folder is None and here.text.endswith(f"{here.job_file} on {socket.gethostname()}")
    Path(here.job_file).parent.mkdir(parents=True, exist_ok=True)
    Path(here.job_file).touch()
    assert here.summary(0)["folder"] == str(Path.cwd())
    assert here.text.endswith(f"{here.job_file} in the folder {Path.cwd()} on {socket.gethostname()}")


def test_a_webhook_is_signed_over_its_body_which_says_when_it_was_sent() -> None:
    to = {"address": "", "secret": reference("key")}
    with hook() as server:
        began = time.time()
        for _ in range(2):
            assert sent(channel("webhook", **to | {"address": reference(server.url)})).sent
    first, second = server.contents
    for body, headers in zip(server.bodies, server.headers, strict=True):
        assert headers["X-Signature-256"] == f"sha256={hmac.new(b'key', body, hashlib.sha256).hexdigest()}"
    assert began - 1 <= first["sent_at"] <= time.time() and first["kind"] == "failed"
    (listed,) = re.findall(
        r"(?s)\*\*A signed webhook\*\*.*?\n\n", (ROOT / "jobs/README.md").read_text(encoding="utf-8")
    )
    assert [name for name in first if f"`{name}`" not in listed] == []
    assert first["id"] == second["id"] and len(first["id"]) == 32  # a repeated notice can be recognised
    assert first["conditions"][0]["runs"] == 1 and first["commands"] == {"continue": "cio-etl run jobs/nightly.yaml"}


@pytest.mark.parametrize(
    ("statuses", "outcome", "requests"),
    [
        ([204], Outcome(True), 1),
        ([503, 200], Outcome(True), 2),
        ([429], Outcome(False, "HTTP 429"), 2),
        ([404], Outcome(False, "HTTP 404"), 1),
        ([307], Outcome(False, "HTTP 307: a redirect, which is not followed"), 1),
    ],
)
def test_an_answer_of_a_webhook(
    statuses: list[int], outcome: Outcome, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with hook() as server:
        server.statuses = statuses
        assert sent(channel("slack", address=reference(server.url))) == outcome
    assert len(server.bodies) == requests


def test_a_webhook_is_not_waited_for_and_its_address_is_in_no_reason(tmp_path: Path) -> None:
    context, ca_file = authority(tmp_path)
    over = threading.Event()

    def hold(connection: socket.socket) -> None:
        with connection:
            over.wait(20)

    with raw_server(hold) as silent, hook(context) as server:
        began = time.monotonic()
        to = [channel("slack", address=reference(f"{url}/SECRET"), timeout_s=1.0) for url in (silent, server.url)]
        to.append(channel("slack", address=reference(f"{server.url}/SECRET"), ca_file=ca_file))
        to.append(channel("slack", address=reference("http://127.0.0.1:1/SECRET")))
        outcomes = send_all([(each, notice()) for each in to])
        over.set()
    assert time.monotonic() - began < 8
    assert [each.sent for each in outcomes] == [False, False, True, False]
    reasons = [each.reason for each in outcomes]
    assert reasons == ["no answer in time", "its certificate is not valid here", None, "no connection"]
    assert "SECRET" not in str(outcomes)


# ---------------------------------------------------------------- e-mail


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("is_smtps", [True, False])
def test_an_e_mail_travels_over_tls_with_a_login(is_smtps: bool, tmp_path: Path) -> None:
    context, ca_file = authority(tmp_path)
    with mail_server(context, is_smtps=is_smtps, needs_login=True) as box:
        url = f"smtp{'s' * is_smtps}://user:p%3Aw@127.0.0.1:{box.port}"
        to = channel("email", address=reference(url), to=("data@example.com",), sender="etl@example.com")
        assert sent(to).reason == (
            "no session with the mail server: its certificate is not valid here"
            if is_smtps  # a server on this machine needs TLS only where a ca_file is written
            else "the mail server does not take a login, or not this message"
        )
        to = channel("email", address=to.address, to=to.to, sender=to.sender, ca_file=ca_file)
        assert sent(to) == Outcome(True)
        assert reach(to).startswith("the mail server answers")
        wrong = channel("email", address=reference(url.replace("p%3Aw", "other")), to=to.to, ca_file=ca_file)
        assert sent(wrong) == Outcome(False, "the mail server refused the user or the password")
        with pytest.raises(NotSent, match="refused the user"):
            reach(wrong)
    (envelope,) = box.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("etl@example.com", ["data@example.com"])
    content = envelope.content
    message = message_from_bytes(content if isinstance(content, bytes) else b"", policy=policy.default)
    assert message["Subject"] == "[cio-etl] nightly failed" and message["Auto-Submitted"] == "auto-generated"
    body = message.get_body()
    assert body is not None and "continue: cio-etl run jobs/nightly.yaml" in body.get_content()


def test_a_mail_server_without_starttls_gets_nothing_unless_it_is_on_this_machine(tmp_path: Path) -> None:
    _, ca_file = authority(tmp_path)
    with mail_server() as box:
        here = channel("email", address=reference(f"smtp://127.0.0.1:{box.port}"), to=("a@example.com",))
        assert sent(here) == Outcome(True)
        outcome = sent(channel("email", address=here.address, to=here.to, ca_file=ca_file))
        assert outcome == Outcome(False, "the mail server offers no STARTTLS; nothing is sent in plain text")
        assert len(box.envelopes) == 1
        box.refused = frozenset({"b@example.com"})
        some = channel("email", address=here.address, to=("a@example.com", "b@example.com"))
        assert sent(some) == Outcome(True, "1 recipient of 2 refused")
        none = channel("email", address=here.address, to=("b@example.com",))
        assert sent(none) == Outcome(False, "the mail server refused all of 1 recipient")


# ---------------------------------------------------------------- a command


def test_a_command_gets_the_notice_on_its_standard_input_and_its_words_without_a_shell(tmp_path: Path) -> None:
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.argv[2] + sys.stdin.read())"
    words = (sys.executable, "-c", program, str(tmp_path / "out"), "{job};{status} $HOME ")
    assert sent(channel("command", command=words, timeout_s=20.0)) == Outcome(True)
    head, _, content = (tmp_path / "out").read_text().partition(" $HOME ")
    assert head == "nightly;failed" and json.loads(content)["kind"] == "failed"


def test_a_command_that_fails_does_not_exist_or_takes_too_long_is_a_reason() -> None:
    began = time.monotonic()
    of = [("false",), ("no-such-program",), ("sh", "-c", "sleep 60 & sleep 60")]
    outcomes = send_all([(channel("command", command=words, timeout_s=1.0), notice()) for words in of])
    assert time.monotonic() - began < 5
    assert outcomes == [
        Outcome(False, "false ended with exit code 1"),
        Outcome(False, "no-such-program cannot be started: No such file or directory"),
        Outcome(False, "sh took longer than 1 s"),
    ]


# ---------------------------------------------------------------- doctor


def test_a_channel_is_reached_without_sending_anything(tmp_path: Path) -> None:
    context, ca_file = authority(tmp_path)
    with hook(context) as server:
        assert reach(channel("slack", address=reference(server.url), ca_file=ca_file)).startswith("its host answers")
        with pytest.raises(NotSent, match="certificate"):
            reach(channel("slack", address=reference(server.url)))
    assert server.bodies == []
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(NotSent, match="no connection"):
            reach(channel("slack", address=reference(f"http://127.0.0.1:{unused.getsockname()[1]}")))
    assert reach(channel("command", command=("sh",))) == "sh can be started"
    with pytest.raises(NotSent, match="not a program"):
        reach(channel("command", command=("no-such-program",)))
