"""A real server in this process that speaks S3, with a log of requests and with faults."""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from cio_etl.extract.remote.storage import Patience
from cio_etl.model import Storage

ONCE = Patience(retries=0, retry_s=5.0, first_wait_s=0.001, longest_wait_s=0.001, connect_s=5.0, read_s=5.0)
KEY_ID, SECRET = "KEYID0OF0THE0TESTS00", "SECRET0OF0THE0TESTS00SECRET0OF0THE0TESTS"
_SIGNED = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the server got."""

    method: str
    path: str  # as it was written, percent-encoded
    query: str
    if_match: str | None
    range: str | None
    signed: bool

    @property
    def lists(self) -> bool:
        return self.method == "GET" and "list-type=2" in self.query

    @property
    def downloads(self) -> bool:
        return self.method == "GET" and "list-type=2" not in self.query


@dataclass(slots=True)
class ObjectStore:
    """The running server. `before` sees each request first: what it returns is the answer; None: the store's own."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    before: Callable[[Asked], Response | None] | None = None

    def storage(self, secret: str = SECRET) -> Storage:
        return Storage(self.url, "us-east-1", access_key_id=SecretStr(KEY_ID), secret_access_key=SecretStr(secret))

    def put(self, key: str, content: bytes, bucket: str = "rows") -> None:
        """The object, in place of one that is there."""
        address = httpx.URL(self.url).copy_with(raw_path=f"/{bucket}/{_quoted(key)}".encode())
        _client().put(address, content=content, headers=_SIGNED).raise_for_status()

    def delete(self, key: str, bucket: str = "rows") -> None:
        address = httpx.URL(self.url).copy_with(raw_path=f"/{bucket}/{_quoted(key)}".encode())
        _client().delete(address, headers=_SIGNED).raise_for_status()

    def bucket(self, name: str = "rows") -> None:
        _client().put(f"{self.url}/{name}", headers=_SIGNED).raise_for_status()

    def publish(self, bucket: str = "rows") -> None:
        """Lets everybody read the bucket, without a signature."""
        resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        everybody = {"Effect": "Allow", "Principal": "*", "Action": ["s3:*"], "Resource": resources}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
        _client().put(f"{self.url}/{bucket}?policy", content=policy, headers=_SIGNED).raise_for_status()

    def check_credentials(self, on: bool) -> None:
        """From now on, keys that no user has are refused; all are, as the tests make no users."""
        _client().post(f"{self.url}/moto-api/reset-auth", content="0" if on else "999999")

    def empty(self) -> None:
        """As it was at the start, with the bucket `rows`."""
        self.before = None
        self.check_credentials(False)
        _client().post(f"{self.url}/moto-api/reset").raise_for_status()
        self.bucket()
        self.asked.clear()

    def downloads(self) -> list[str]:
        return [asked.path for asked in self.asked if asked.downloads]


@functools.cache
def _client() -> httpx.Client:
    """One for all requests of the tests themselves: each new one would read the system's certificates, in 15 ms."""
    return httpx.Client(trust_env=False, verify=False)


def _quoted(key: str) -> str:
    return "".join(sign if sign in "/=-_.~" or (sign.isascii() and sign.isalnum()) else _percent(sign) for sign in key)


def _percent(sign: str) -> str:
    return "".join(f"%{byte:02X}" for byte in sign.encode())


class _Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        pass


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """A server on a free port of this machine, until the block ends."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # takes 0.5 s

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    store = ObjectStore("")
    moto = DomainDispatcherApplication(create_backend_app)

    def answer(environ, start_response):  # type: ignore[no-untyped-def]
        request = Request(environ)
        asked = Asked(
            request.method,
            environ.get("RAW_URI", request.path).split("?")[0],
            request.query_string.decode(),
            request.headers.get("If-Match"),
            request.headers.get("Range"),
            "Authorization" in request.headers,
        )
        own = "moto-api" in asked.path or request.headers.get("Authorization") == _SIGNED["Authorization"]
        if not own:  # what the test itself does is no part of the log
            store.asked.append(asked)
            if store.before is not None and (instead := store.before(asked)) is not None:
                return instead(environ, start_response)
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=_Silent)
    server.daemon_threads = True  # type: ignore[attr-defined]
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
