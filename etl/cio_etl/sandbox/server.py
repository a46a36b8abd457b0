"""The sandbox's server: uvicorn on a loopback address, in a thread of its own or in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import Any

from cio_etl.sandbox.activity import ActivityLog
from cio_etl.sandbox.app import make_app
from cio_etl.sandbox.faults import Faults
from cio_etl.sandbox.objects import Objects
from cio_etl.sandbox.people import People
from cio_etl.sandbox.serving import AppServer, is_loopback
from cio_etl.sandbox.wire import ReachableTransport
from cio_etl.sandbox.workspace import Credentials, Workspace


class Sandbox(AppServer):
    """A local Customer.io for the length of a `with` block, at `url`.

    `port` 0 takes a free one. With `ssl_certfile` and `ssl_keyfile` it speaks TLS. `trace` names the attribute whose
    values each profile keeps in order (see People). It listens as soon as it is created; leaving the block cuts all
    connections. Raises ValueError for a host that is not a loopback address and OSError for a port in use.

        with Sandbox(Faults(script=("503",))) as sandbox:
            httpx.post(f"{sandbox.url}/api/v2/batch", auth=("sandbox", "sandbox"), content=body)
            httpx.post(f"{sandbox.url}/v1/batch", auth=("sandbox", ""), content=calls)  # Pipelines
    """

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        credentials: Credentials | None = None,
        trace: str | None = None,
        segments: Iterable[int] = (),
        ssl_certfile: str | PathLike[str] | None = None,
        ssl_keyfile: str | PathLike[str] | None = None,
    ) -> None:
        if not is_loopback(host):
            raise ValueError("the sandbox listens on a loopback address only: 127.0.0.1, ::1 or localhost")
        self.workspace = Workspace(faults, credentials, trace, segments)
        super().__init__(
            make_app(self.workspace),
            host,
            port,
            "sandbox",
            http=ReachableTransport,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
        )

    @property
    def people(self) -> People:
        return self.workspace.people

    @property
    def objects(self) -> Objects:
        return self.workspace.people.objects

    @property
    def activity(self) -> ActivityLog:
        """Requests that were answered with 200 and had no effect, the latest last."""
        return self.workspace.people.activity

    @property
    def messages(self) -> Mapping[str, int]:
        """How often each messageId of Pipelines arrived."""
        return dict(self.workspace.messages)

    @property
    def faults(self) -> Faults:
        return self.workspace.faults

    @property
    def refused(self) -> frozenset[str]:
        """The valid items that were refused on demand: `id 42`, `email …` or `event <its id>`."""
        return frozenset(self.workspace.refused)

    @property
    def body_sizes(self) -> list[int]:
        """Bytes of each body received, in order of arrival."""
        return list(self.workspace.traffic.body_sizes)

    def stats(self) -> dict[str, Any]:
        """What GET /__sandbox/stats answers."""
        return self.workspace.stats()

    def set_faults(self, faults: Faults) -> None:
        """Apply these faults from the next request on."""
        self.workspace.set_faults(faults)

    def set_credentials(self, credentials: Credentials) -> None:
        """Accept these from the next request on."""
        self.workspace.credentials = credentials


def serve(
    host: str = "127.0.0.1",
    port: int = 8080,
    faults: Faults | None = None,
    *,
    credentials: Credentials | None = None,
    segments: Iterable[int] = (),
    ssl_certfile: str | PathLike[str] | None = None,
    ssl_keyfile: str | PathLike[str] | None = None,
    announce: Callable[[str], None] = lambda url: None,
) -> None:
    """Run a sandbox until SIGINT or SIGTERM. `announce` gets its URL once it listens. Raises as Sandbox does."""
    sandbox = Sandbox(
        faults,
        host=host,
        port=port,
        credentials=credentials,
        segments=segments,
        ssl_certfile=ssl_certfile,
        ssl_keyfile=ssl_keyfile,
    )
    sandbox.run(announce)
