"""Servers that take notices: an HTTP server and a mail server, both real, and what they got."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from pydantic import SecretStr

from cio_etl.model import Channel, Condition, ConditionKind, Reference
from cio_etl.notify import Due, Notice


@dataclass(slots=True)
class Hook:
    """A server that takes POST requests, and answers with the next of `statuses`, the last one for ever."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [200])
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def contents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the notices that a signed webhook got."""
        return [content["kind"] for content in self.contents]


@contextmanager
def hook(tls: ssl.SSLContext | None = None) -> Iterator[Hook]:
    got = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            got.headers.append(dict(self.headers))
            got.paths.append(self.path)
            status = got.statuses.pop(0) if len(got.statuses) > 1 else got.statuses[0]
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{got.url}/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    got.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield got
    finally:
        server.shutdown()
        server.server_close()


@dataclass(slots=True)
class Mailbox:
    """What a mail server took, whose users are `user` with the password `p:w`; it refuses recipients of `refused`."""

    port: int = 0
    refused: frozenset[str] = frozenset()
    envelopes: list[Envelope] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 OK"


@contextmanager
def mail_server(
    context: ssl.SSLContext | None = None, *, is_smtps: bool = False, needs_login: bool = False
) -> Iterator[Mailbox]:
    box = Mailbox()

    def authenticator(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"user", b"p:w")
        box.logins.append(right)
        return AuthResult(success=right, handled=False)

    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=0,
        ssl_context=context if is_smtps else None,
        tls_context=None if is_smtps else context,
        authenticator=authenticator,
        auth_required=needs_login,
        auth_require_tls=not is_smtps,  # it does not know that it is within TLS already
    )
    with free_port(controller):
        box.port = controller.port
        try:
            yield box
        finally:
            controller.stop()


@contextmanager
def free_port(controller: Controller) -> Iterator[None]:
    """Starts a controller at a free port: it does not know its own where it is asked for any."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        controller.port = taken.getsockname()[1]
    controller.start()
    yield


def authority(folder: Path) -> tuple[ssl.SSLContext, str]:
    """TLS of a server on this machine, and the file of the authority that signed its certificate."""
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    file = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return context, str(file)


def reference(value: str) -> Reference:
    return Reference("${SECRET}", SecretStr(value))


def condition(**facts: Any) -> Condition:
    known: dict[str, Any] = {
        "since": "2026-11-20T03:00:00+00:00",
        "times": 1,
        "seen": "job-1",
        "words": "127.0.0.1 refused the credentials (HTTP 401) (exit code 77)",
    }
    return Condition(**known | facts)


def notice(kind: ConditionKind = "failed", **facts: Any) -> Notice:
    known: dict[str, Any] = {"remedy": "set the key", "commands": {"continue": "cio-etl run jobs/nightly.yaml"}}
    at = datetime(2026, 11, 20, 3, 1, tzinfo=UTC)
    return Notice(Due(kind, {kind: condition()}), "nightly", "jobs/nightly.yaml", at, **known | facts)


def channel(kind: str, **settings: Any) -> Channel:
    return Channel(kind, kind, "key", **settings)  # type: ignore[arg-type]
