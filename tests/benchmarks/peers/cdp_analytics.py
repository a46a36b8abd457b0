"""Sends by the official `customerio-cdp-analytics` SDK: `track()` puts a row into its queue, and its thread sends.

Configured as its README has it: the defaults, 100 messages a request. One thing is added: its queue holds 10,000
messages and drops what doesn't fit, with a warning, so a loop as short as the README's loses most of the rows. Here the
loop waits while the queue is full, which costs nothing and keeps the sender always busy. `--upload-size` is an argument
of its Client that the README doesn't mention; larger requests suit it better, so both are measured.
"""

from __future__ import annotations

import time
from typing import Any

from customerio.analytics.client import Client  # type: ignore[import-not-found]  # in the peers' environment only

from .orders import Asked, asked, attributes, ordered_at, parser, read_csv

ROOM_S = 0.001  # how long to wait before looking for room in the queue again


def main(job: Asked, upload_size: int) -> None:
    failed = 0

    def on_error(error: Exception, batch: list[dict[str, Any]]) -> None:
        nonlocal failed
        failed += len(batch)

    analytics = Client("write-key", host=job.url, on_error=on_error, upload_size=upload_size)
    queued = 0
    for row in read_csv(job.data):
        while analytics.queue.full():
            time.sleep(ROOM_S)
        taken, _ = analytics.track(
            user_id=row["customer_id"],
            event="order_placed",
            properties=attributes(row),
            timestamp=ordered_at(row),
        )
        queued += taken
    analytics.shutdown()
    job.sent(queued - failed)


if __name__ == "__main__":
    arguments = parser()
    arguments.add_argument("--upload-size", type=int, default=100)
    given = arguments.parse_args()
    main(asked(given), given.upload_size)
