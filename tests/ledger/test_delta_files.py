"""A delta on the disk: what it has many of is written at once, and not held until the end."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from cio_etl.ledger.delta_files import GONE, Delta, DeltaHead, DeltaWriter

MANY = 250_000
HEAD = DeltaHead(1, 1, "", "", "", ("plan",), (), rows=10 * MANY, rows_to_send=0, again=False, counts={})


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_who_is_gone_and_what_was_refused_do_not_wait_in_memory(tmp_path: Path) -> None:
    writer = DeltaWriter(tmp_path / "0.delta", 10 * MANY, 1)
    gone = pl.DataFrame({"hi": range(MANY), "lo": range(MANY)}, schema={"hi": pl.UInt64, "lo": pl.UInt64})
    before = size_of(writer.scratch)
    writer.write_gone(gone)
    assert (writer.scratch / GONE).stat().st_size > 8 * MANY
    with_gone = size_of(writer.scratch)
    assert with_gone > before
    positions = pl.DataFrame({"position": range(0, 10 * MANY, 10)})
    writer.write_refused(positions.with_columns(reason=pl.lit("malformed"), field=pl.lit("email")))
    assert size_of(writer.scratch) > with_gone + 8 * MANY
    writer.finish(HEAD)
    delta = Delta.open(tmp_path / "0.delta")
    assert delta is not None and delta.gone().height == MANY
    refused = delta.decisions().read_refused(10, 30)
    assert refused.rows() == [(position, "malformed", "email") for position in (10, 20, 30)]
