"""What becomes of one batch? Sent until it is taken, refused item by item, or given up; each item has one end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cio_etl.errors import DestinationUnavailable, TooManyRejects
from cio_etl.model import (
    OUTCOME_UNKNOWN,
    Accepted,
    Batch,
    ItemError,
    Refused,
    Reject,
    Retry,
    Split,
    Stop,
    Unknown,
    Verdict,
)

HOPELESS = 20  # so many items refused one by one, for one reason, with none taken: it is not the rows

Indexes = npt.NDArray[np.int64]


@dataclass(slots=True)
class Delivery:
    """What was done for a batch. Every item of it is accepted or among `rejects`."""

    rejects: list[Reject]
    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    ambiguous: int = 0  # items that may have been taken twice: their first answer was lost, or did not tell of them


def deliver(
    batch: Batch,
    post: Callable[[bytes, int], Verdict],
    persist: Callable[[Callable[[], Verdict], Callable[[Retry, float], None]], Verdict],
    too_large: Callable[[int], None],
    host: str,
    budget_s: float,
) -> Delivery:
    """Sends `batch` by `post`, made again by `persist` as long as it says Retry, split where it is refused as a whole.

    Tells `too_large` the length of a body that the server found too large. Raises what a Stop carries,
    DestinationUnavailable when the budget is spent, TooManyRejects when nothing but refusals comes.
    """
    done = Delivery(rejects=[])
    in_doubt = np.zeros(len(batch.positions), dtype=np.bool_)
    parts: list[Indexes] = [np.arange(len(batch.positions))] if len(batch.positions) else []
    refused_alone = accepted = 0
    while parts:
        part = parts.pop()
        verdict, ambiguous = _send(batch, part, post, persist, done)
        if ambiguous or (isinstance(verdict, Split) and verdict.ambiguous and len(part) > 1):
            in_doubt[part] = True
        match verdict:
            case Accepted(errors):
                accepted += len(part) - len(errors)
                done.rejects += [_reject(batch, part, error) for error in errors]
            case Refused(errors):
                done.rejects += [_reject(batch, part, error) for error in errors]
                if len(rest := np.delete(part, [error.index for error in errors])):
                    parts.append(rest)
            case Split(too_large=True) if len(part) > 1:
                too_large(_length(batch, part))
                parts += _halves(part)
            case Split() if len(part) > 1:
                parts += _halves(part)
            case Split(reason, message):
                done.rejects.append(Reject(int(batch.positions[part[0]]), reason, None, message))
                refused_alone += 1
                if refused_alone == HOPELESS and not accepted and len({one.reason for one in done.rejects}) == 1:
                    limit = f"{HOPELESS} one by one with none taken"
                    raise TooManyRejects(rejected=HOPELESS, limit=limit, most=reason)
            case Unknown(reason):
                done.rejects += [Reject(int(batch.positions[i]), OUTCOME_UNKNOWN, None, reason) for i in part]
            case Stop(error):
                raise error
            case Retry(reason):
                raise DestinationUnavailable(
                    host=host, reason=f"{reason}, and no batch was taken within {budget_s:g} s"
                )
    done.ambiguous = int(np.count_nonzero(in_doubt))
    return done


def _send(
    batch: Batch,
    part: Indexes,
    post: Callable[[bytes, int], Verdict],
    persist: Callable[[Callable[[], Verdict], Callable[[Retry, float], None]], Verdict],
    done: Delivery,
) -> tuple[Verdict, bool]:
    """What came of it, and whether it was sent again after an answer that was lost."""
    body = _body(batch, part)
    ambiguous = False

    def attempt() -> Verdict:
        done.requests += 1
        done.bytes_sent += len(body)
        return post(body, len(part))

    def again(verdict: Retry, _wait_s: float) -> None:
        nonlocal ambiguous
        done.retries += 1
        ambiguous = ambiguous or verdict.ambiguous

    return persist(attempt, again), ambiguous


def _halves(part: Indexes) -> list[Indexes]:
    """Second half first: parts are taken from the end, and the order of rows is kept."""
    middle = len(part) // 2
    return [part[middle:], part[:middle]]


def _body(batch: Batch, part: Indexes) -> bytes:
    if len(part) == len(batch.positions):
        return batch.body
    around = batch.envelope
    starts = np.concatenate(([len(around.open)], batch.ends[:-1] + 1))
    text = memoryview(batch.body)
    return b"".join((around.open, b",".join(text[starts[i] : batch.ends[i]] for i in part), around.close))


def _length(batch: Batch, part: Indexes) -> int:
    return len(_body(batch, part))


def _reject(batch: Batch, part: Indexes, error: ItemError) -> Reject:
    return Reject(int(batch.positions[part[error.index]]), error.reason, error.field, error.message)
