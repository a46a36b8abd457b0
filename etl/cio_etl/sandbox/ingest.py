"""Handles requests that send data: which fault applies, the limit of the body, and the answer."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cio_etl.sandbox import wire
from cio_etl.sandbox.faults import Answer
from cio_etl.sandbox.faulty import faulty_answer, response_of
from cio_etl.sandbox.handlers import Sent
from cio_etl.sandbox.workspace import Workspace


class Ingest:
    """One path. `handle` applies a request and returns its answer; `max_bytes` returns the limit of its body."""

    def __init__(
        self,
        workspace: Workspace,
        path: str,
        handle: Callable[[Request, Sent], Answer],
        max_bytes: Callable[[], int],
    ) -> None:
        self.workspace = workspace
        self.path = path
        self.handle = handle
        self.max_bytes = max_bytes

    async def answer(self, request: Request) -> Response:
        faults, limit = self.workspace.faults, self.max_bytes()
        fault, is_over_limit = self.workspace.count_request(self.path)
        is_key_revoked = self.workspace.sequence.is_key_revoked()  # before the first await: another request may arrive
        if fault == "cut_upload":
            return wire.Reset()
        if fault == "early_413":
            return self._counted(Response(status_code=413, headers={"connection": "close"}))
        try:
            body, size = await _read_body(request, limit)
        except ClientDisconnect:
            return wire.Hang()
        self.workspace.traffic.body_sizes.append(size)
        if faults.latency_s:
            await wire.pause(request.receive, faults.latency_s)
        headers = request.headers
        sent = Sent(
            headers.get("authorization", ""),
            body,
            size,
            limit,
            is_strict=headers.get("x-strict-mode") == "1",
            content_type=headers.get("content-type", ""),
            encoding=headers.get("content-encoding", ""),
            is_key_revoked=is_key_revoked,
        )

        def respond() -> Response:
            if is_over_limit:
                return response_of(faults.answer_with(429, self.workspace.now()))
            return response_of(self.handle(request, sent))

        return self._counted(faulty_answer(self.workspace, fault, respond))

    def _counted(self, response: Response) -> Response:
        if not isinstance(response, wire.Reset | wire.Hang | wire.Raw):
            self.workspace.traffic.answers[response.status_code] += 1
        return response


async def _read_body(request: Request, limit: int) -> tuple[bytes, int]:
    """The body up to the limit, and its whole size. It is read to its end, so that the client can read the answer."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
    return b"".join(chunks), size
