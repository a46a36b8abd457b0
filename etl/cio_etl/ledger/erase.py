"""Removes subjects from a ledger so that no file of it names them any more, not even as gone."""

from __future__ import annotations

from collections.abc import Callable, Collection

import polars as pl

from cio_etl.ledger.decide import SUBJECT
from cio_etl.ledger.files import reporting
from cio_etl.ledger.generation import Generation
from cio_etl.ledger.stored import Ledger

Wanted = Callable[[Collection[str]], pl.Expr]  # the columns of a file -> Boolean: whether a row is about them


def erased(ledger: Ledger, wanted: Wanted) -> tuple[Generation, int]:
    """The generation without the wanted subjects, and how many of them its files had; the same one if they had none.

    The files of the generation before are still there: Ledger.remove_others. Raises StateError for a damaged ledger.
    """
    ledger.verify()
    found = [pl.DataFrame(schema=dict.fromkeys(SUBJECT, pl.UInt64))]
    with reporting(ledger.folder):
        for piece in ledger.generation.pieces:
            rows = pl.scan_parquet(ledger.folder / piece.file, glob=False)
            found.append(rows.filter(wanted(rows.collect_schema().names())).select(SUBJECT).collect())
    subjects = pl.concat(found).unique()
    if subjects.is_empty():
        return ledger.generation, 0
    return ledger.rewritten(lambda known: known.join(subjects, on=SUBJECT, how="anti")), subjects.height
