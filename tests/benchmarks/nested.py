"""Measures how fast 20 nested values are mapped, beside 20 columns of the same values.

    python -m tests.benchmarks.nested [--rows 200000] [--rounds 3]

Both files are read, mapped and encoded in this process, in turns; opening them is not measured. Read the ratio: speed
of the nested one as a share of the flat one's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import polars as pl

from cio_etl.config import load_mapping
from cio_etl.extract import open_source
from cio_etl.model import NdjsonSource, ParquetSource, Staging, Step
from cio_etl.run import prepare
from cio_etl.transform import with_paths

VALUES = [f"value_{number}" for number in range(20)]
KINDS = {"parquet": ParquetSource, "ndjson": NdjsonSource}
GOAL = 0.4


def write(folder: Path, rows: int) -> None:
    """The same rows in four files: flat and nested two objects deep, half texts and half whole numbers."""
    number = pl.int_range(rows, eager=True)
    texts = {name: ("text " + (number * place).cast(pl.String)) for place, name in enumerate(VALUES[::2], 1)}
    numbers = {name: number * place for place, name in enumerate(VALUES[1::2], 1)}
    flat = pl.DataFrame({"id": number.cast(pl.String), **texts, **numbers}).select("id", *VALUES)
    nested = flat.select("id", pl.struct(pl.struct(VALUES).alias("values")).alias("order"))
    for name, frame in (("flat", flat), ("nested", nested)):
        frame.write_parquet(folder / f"{name}.parquet")
        frame.write_ndjson(folder / f"{name}.ndjson")
        below = "" if name == "flat" else "order.values."
        attributes = {value: f"{below}{value}" for value in VALUES}
        mapping = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": attributes}
        (folder / f"{name}.yaml").write_text(json.dumps(mapping))


def seconds(folder: Path, name: str, kind: str, rows: int) -> float:
    """How long it takes to make the items of one file."""
    source = KINDS[kind]((str(folder / f"{name}.{kind}"),))
    mapping = load_mapping(folder / f"{name}.yaml")
    snapshot = with_paths(open_source(source, Staging(folder)), mapping)
    start = time.perf_counter()
    snapshot, compiled = prepare(Step("rows", source, mapping), snapshot, 16, "track")
    items = [compiled.items(frame) for frame in snapshot.read(compiled.columns, 0)]
    taken = time.perf_counter() - start
    if sum(each["item"].count() for each in items) != rows:
        raise RuntimeError(f"{name}.{kind}: some rows became no item")
    return taken


def ratios(folder: Path, rows: int, rounds: int) -> dict[str, float]:
    """The nested file's speed as a share of the flat one's, by the kind of file."""
    write(folder, rows)
    found = {}
    for kind in KINDS:
        pairs = [[seconds(folder, name, kind, rows) for name in ("flat", "nested")] for _ in range(rounds)]
        found[kind] = median(flat / nested for flat, nested in pairs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind, ratio in ratios(Path(folder), options.rows, options.rounds).items():
            print(f"{kind:8} nested {ratio:.2f} of flat; the goal is {GOAL}")


if __name__ == "__main__":
    main()
