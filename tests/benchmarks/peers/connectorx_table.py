"""Reads a table through connectorx: its stream of Arrow batches, written by pyarrow."""

from __future__ import annotations

import connectorx  # type: ignore[import-not-found, unused-ignore]  # installed in the peers' environment only

from .table import ROWS_A_CHUNK, Asked, asked, parser, write_parquet


def main(job: Asked) -> None:
    url = job.url.replace("mysql+pymysql:", "mysql:")
    batches = connectorx.read_sql(url, job.query, return_type="arrow_stream", batch_size=ROWS_A_CHUNK)
    print(write_parquet(batches, batches.schema, job.folder))


if __name__ == "__main__":
    main(asked(parser().parse_args()))
