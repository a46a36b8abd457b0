"""The script that anyone would write first: csv.DictReader, json.dumps, httpx, one request at a time."""

from __future__ import annotations

from itertools import islice

from .orders import ITEMS_A_REQUEST, Asked, asked, events, http_client, parser, post


def main(job: Asked) -> None:
    sent = 0
    items = events(job.data)
    with http_client(job.ca) as client:
        while batch := list(islice(items, ITEMS_A_REQUEST)):
            post(client, job.url, batch)
            sent += len(batch)
    job.sent(sent)


if __name__ == "__main__":
    main(asked(parser().parse_args()))
