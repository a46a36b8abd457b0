"""The life of a request that sends data: faults, limits, and the answer."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cio_etl.sandbox import wire
from cio_etl.sandbox.faults import UNREADABLE, Answer
from cio_etl.sandbox.handlers import Sent
from cio_etl.sandbox.paths import JSON_TYPE
from cio_etl.sandbox.workspace import Workspace


class Ingest:
    """One path. `right` applies a request and gives its right answer; `max_bytes` is the limit of its body now."""

    def __init__(
        self,
        workspace: Workspace,
        path: str,
        right: Callable[[Request, Sent], Answer],
        max_bytes: Callable[[], int],
    ) -> None:
        self.workspace = workspace
        self.path = path
        self.right = right
        self.max_bytes = max_bytes

    async def answer(self, request: Request) -> Response:
        faults, limit = self.workspace.faults, self.max_bytes()
        fault, one_too_many = self.workspace.count_request(self.path)
        if fault == "cut_upload":
            return wire.Reset()
        if fault == "early_413":
            return self._counted(Response(status_code=413, headers={"connection": "close"}))
        try:
            body, size = await _received(request, limit)
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
        )

        def right() -> Response:
            if one_too_many:
                return _plain(faults.answer_with(429, self.workspace.now()))
            return _plain(self.right(request, sent))

        return self._counted(self._faulty_answer(fault, right))

    def _faulty_answer(self, fault: str | Answer, right: Callable[[], Response]) -> Response:
        """The answer to a request with a fault. `right()` applies the request and returns the correct answer."""
        faults = self.workspace.faults
        if isinstance(fault, Answer):
            if fault.applied:
                right()
            return _plain(fault)
        if fault.isdigit():
            return _plain(faults.answer_with(int(fault), self.workspace.now()))
        if fault in UNREADABLE:
            return _plain(UNREADABLE[fault])
        if fault == "lost_before":
            return wire.Reset()
        if fault == "hang_before":
            return wire.Hang()
        answer = right()
        match fault:
            case "lost_after":
                return wire.Reset()
            case "closed_after":
                return wire.Raw(b"")
            case "hang_after":
                return wire.Hang()
            case "drip":
                return wire.dripping(answer, faults.drip_s)
            case "truncated":
                return wire.truncated(answer, faults.cut_at)
            case "broken_chunks":
                return wire.broken_chunks(answer)
            case "bad_gzip":
                return wire.bad_gzip(answer)
            case "huge":
                return wire.huge(faults.huge_bytes)
            case "header_bomb":
                return wire.header_bomb()
            case "two_answers":
                return wire.TwoAnswers(answer)
        return answer

    def _counted(self, response: Response) -> Response:
        if not isinstance(response, wire.Reset | wire.Hang | wire.Raw):
            self.workspace.traffic.answers[response.status_code] += 1
        return response


async def _received(request: Request, limit: int) -> tuple[bytes, int]:
    """The body and its size. It is read to its end, for an orderly answer, and kept as far as the limit allows."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
    return b"".join(chunks), size


def _plain(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    names = {name.lower() for name, _ in answer.headers}
    if "content-type" not in names and answer.body:
        response.headers["content-type"] = JSON_TYPE
    for name, value in answer.headers:
        response.headers.append(name, value)
    return response
