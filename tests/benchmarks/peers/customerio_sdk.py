"""Sends by the official `customerio` SDK: one `track()` a row, as its README shows; or `--batch N`.

`batch()` exists since 3.0 but isn't in the README of 3.2: it is measured as well, so that nobody has to wonder.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

# Not `from customerio import …`: customerio-cdp-analytics installs an empty customerio/__init__.py over the SDK's.
from customerio.track import CustomerIO  # type: ignore[import-not-found]  # installed in the peers' environment only

from .orders import Asked, asked, attributes, events, ordered_at, parser, read_csv


def client(job: Asked) -> CustomerIO:
    scheme, _, place = job.url.partition("://")
    host, _, port = place.partition(":")
    cio = CustomerIO("site-id", "api-key", host=host, port=int(port), retries=0)
    if scheme == "http":  # the SDK knows https only; these two are all that stands in its way
        cio.base_url = f"{job.url}/api/v1"
    return cio


def one_by_one(cio: CustomerIO, job: Asked) -> Iterator[int]:
    for row in read_csv(job.data):
        cio.track(
            customer_id=row["customer_id"],
            name="order_placed",
            data=attributes(row),
            timestamp=int(ordered_at(row).timestamp()),
        )
        yield 1


def batched(cio: CustomerIO, job: Asked, items_a_request: int) -> Iterator[int]:
    items = events(job.data)
    while batch := list(islice(items, items_a_request)):
        if job.url.startswith("http:"):  # batch() builds an https address of its own: the line that follows it
            cio.send_request("POST", f"{job.url}/api/v2/batch", {"batch": batch})
        else:
            cio.batch(batch)
        yield len(batch)


if __name__ == "__main__":
    arguments = parser()
    arguments.add_argument("--batch", type=int, help="items a request, by batch()")
    given = arguments.parse_args()
    job = asked(given)
    with client(job) as cio:  # raises CustomerIOException on anything but 2xx
        sent = sum(batched(cio, job, given.batch) if given.batch else one_by_one(cio, job))
    job.sent(sent)
