"""Answers of requests that have a fault."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from cio_etl.sandbox import wire
from cio_etl.sandbox.faults import UNREADABLE, Answer
from cio_etl.sandbox.paths import JSON_TYPE
from cio_etl.sandbox.workspace import Workspace


def faulty_answer(workspace: Workspace, fault: str | Answer, respond: Callable[[], Response]) -> Response:
    """The answer to a request with a fault. `respond()` applies the request and returns the correct answer."""
    faults = workspace.faults
    if isinstance(fault, Answer):
        if fault.applied:
            respond()
        return response_of(fault)
    if fault.isdigit():
        return response_of(faults.answer_with(int(fault), workspace.now()))
    if fault in UNREADABLE:
        return response_of(UNREADABLE[fault])
    if fault in ("lost_before", "cut_upload"):
        return wire.Reset()
    if fault == "hang_before":
        return wire.Hang()
    answer = respond()
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


def response_of(answer: Answer) -> Response:
    """An answer as it is sent: JSON, unless its headers say otherwise."""
    response = Response(answer.body, answer.status)
    names = {name.lower() for name, _ in answer.headers}
    if "content-type" not in names and answer.body:
        response.headers["content-type"] = JSON_TYPE
    for name, value in answer.headers:
        response.headers.append(name, value)
    return response
