"""Copies a table into the staging folder, as the first part of a run does.

    python -m tests.benchmarks.staged URL TABLE FOLDER

prints the number of rows in the copy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic import SecretStr

from cio_etl.extract import open_source
from cio_etl.model import SqlSource, Staging


def rows_staged(url: str, table: str, folder: Path) -> int:
    source = SqlSource(SecretStr(url), query=f"select * from {table}", place=f"table {table}")
    return open_source(source, Staging(folder)).rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("table")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(rows_staged(options.url, options.table, options.folder))
