"""Reads, maps and packs the rows of a file, and does nothing more: it does not look for duplicate keys either.

    python -m tests.benchmarks.packed FILE MAPPING

prints the number of rows.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from cio_etl.apis import endpoint
from cio_etl.config import load_mapping
from cio_etl.extract import open_source
from cio_etl.load import Packer
from cio_etl.model import CsvSource, ParquetSource, Staging
from cio_etl.transform import collect_facts, compile_mapping
from cio_etl.transform.prefetch import prefetch

LANES, BODY_BYTES = 16, 500_000


def rows_packed(data: Path, mapping: Path) -> int:
    source = (CsvSource if data.suffix == ".csv" else ParquetSource)((str(data),))
    how = load_mapping(mapping)
    with tempfile.TemporaryDirectory() as stage:
        snapshot = open_source(source, Staging(Path(stage)))
        known = collect_facts(how, snapshot.schema, lambda columns: snapshot.read(columns, 0))
        compiled = compile_mapping(how, snapshot.schema, known, snapshot.fingerprint, LANES)
        packer = Packer(BODY_BYTES, np.full(LANES, -1), endpoint("track", how).envelope)
        rows = 0
        for items in prefetch(compiled.items, snapshot.read(compiled.columns, 0)):
            rows += items.height
            packer.add(items)
        packer.finish()
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("mapping", type=Path)
    options = parser.parse_args()
    print(rows_packed(options.data, options.mapping))
