"""Loads by dlt: its filesystem source reads the Parquet file, a custom destination posts each batch."""

from __future__ import annotations

import os
import tempfile
from typing import Any

# Before dlt reads its settings: it must not call home, nor draw progress.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt  # type: ignore[import-not-found]  # installed in the peers' environment only
from dlt.sources.filesystem import filesystem, read_parquet  # type: ignore[import-not-found]

from .orders import ITEMS_A_REQUEST, Asked, asked, event, http_client, parser, post

ROWS_A_CHUNK = 50_000  # record batches that dlt reads; its default of 1,000 makes it slower


def item(row: dict[str, Any]) -> dict[str, Any]:
    """A row as an item of a Track v2 batch; nulls are left out."""
    customer_id, ordered_at = row.pop("customer_id"), row.pop("ordered_at")
    values = {name: value for name, value in row.items() if value is not None}
    return event(customer_id, int(ordered_at.timestamp()), values)


def main(job: Asked, pipelines: str) -> None:
    sent = 0
    with http_client(job.ca) as client:

        @dlt.destination(batch_size=ITEMS_A_REQUEST, loader_file_format="parquet")  # type: ignore[untyped-decorator]
        def customerio(items: Any, table: Any) -> None:
            nonlocal sent
            post(client, job.url, [item(row) for row in items.to_pylist()])
            sent += len(items)

        files = filesystem(bucket_url=job.data.parent.absolute().as_uri(), file_glob=job.data.name)
        orders = (files | read_parquet(chunksize=ROWS_A_CHUNK, use_pyarrow=True)).with_name("orders")
        pipeline = dlt.pipeline("orders", destination=customerio, pipelines_dir=pipelines)
        pipeline.run(orders).raise_on_failed_jobs()
    job.sent(sent)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(asked(parser().parse_args()), folder)
