"""Reads by dlt: its sql_table source, with a backend of its choice, to Parquet of its filesystem destination."""

from __future__ import annotations

import os

# Before dlt reads its settings: it must not call home, nor draw progress.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt  # type: ignore[import-not-found]  # installed in the peers' environment only
from dlt.sources.sql_database import sql_table  # type: ignore[import-not-found]

from .table import Asked, asked, parser


def main(job: Asked, backend: str) -> None:
    url = job.url.replace("postgresql:", "postgresql+psycopg:") if backend != "connectorx" else job.url
    pipeline = dlt.pipeline(
        "table",
        destination=dlt.destinations.filesystem((job.folder / "dataset").absolute().as_uri()),
        dataset_name="rows",
        pipelines_dir=str(job.folder.with_name("pipelines")),
    )
    table = sql_table(credentials=url, table=job.table, backend=backend)
    pipeline.run(table, loader_file_format="parquet").raise_on_failed_jobs()
    print(pipeline.last_trace.last_normalize_info.row_counts[job.table])


if __name__ == "__main__":
    arguments = parser()
    arguments.add_argument("--backend", default="sqlalchemy")
    given = arguments.parse_args()
    main(asked(given), given.backend)
