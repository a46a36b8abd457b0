"""What does it take to read, map and pack a file's rows, and nothing more? What `validate` does without its report.

    python -m tests.benchmarks.packed FILE MAPPING

prints the number of rows.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from etl.ahead import ahead
from etl.config.mapping import load_mapping
from etl.extract import open_source
from etl.load import Packer, endpoint
from etl.model import Step
from etl.run import prepare
from etl.sources import CsvSource, ParquetSource, Staging

LANES, BODY_BYTES = 16, 500_000


def rows_packed(data: Path, mapping: Path) -> int:
    source = (CsvSource if data.suffix == ".csv" else ParquetSource)((str(data),))
    step = Step("orders", source, load_mapping(mapping))
    with tempfile.TemporaryDirectory() as stage:
        snapshot = open_source(source, Staging(Path(stage)))
        compiled = prepare(step, snapshot, LANES, "track")
        packer = Packer(BODY_BYTES, np.full(LANES, -1), endpoint("track", step.mapping).envelope)
        rows = 0
        for items in ahead(compiled.items, snapshot.read(compiled.columns, 0)):
            rows += items.height
            packer.add(items)
        packer.finish()
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("mapping", type=Path)
    asked = parser.parse_args()
    print(rows_packed(asked.data, asked.mapping))
