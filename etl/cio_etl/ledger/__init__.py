"""The ledger: of each subject that Customer.io has acknowledged, a hash of every part that was sent.

A delta is a function of the ledger, a snapshot and a mapping: what is sent of each row. The ledger is a function of
acknowledgements: it moves when a step finishes.

baseline.py        the rows of a first run, which are noted while they are sent
changes.py         counts the changes of a delta, from value to value
decide.py          compares rows with the ledger: new, changed, same, refused before, gone; frames in, frames out
decision_files.py  the decisions of a delta on the disk, noted by subject and read by position
delta.py           makes a step's delta from its rows, and moves the ledger after they were sent
delta_files.py     a delta on the disk
erase.py           removes somebody from a ledger and its files
files.py           files of hashes, by partition
generation.py      what the state knows of a ledger: its files, and what is in them
spill.py           rows that wait by partition, on the disk where there are many
stored.py          the ledger as a finished step left it, on the disk

Names are loaded on first use: most runs have no ledger, and need no Arrow files.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.ledger.baseline import BaselineWriter, whole_counts
    from cio_etl.ledger.decide import TIME, Rules
    from cio_etl.ledger.delta import Made, make_delta, moved, new_generation, renewed, without
    from cio_etl.ledger.delta_files import Delta, DeltaHead, begin_baseline
    from cio_etl.ledger.erase import erased
    from cio_etl.ledger.generation import Generation
    from cio_etl.ledger.stored import Ledger

_FILES = {
    "baseline": ("BaselineWriter", "whole_counts"),
    "decide": ("TIME", "Rules"),
    "delta": ("Made", "make_delta", "moved", "new_generation", "renewed", "without"),
    "delta_files": ("Delta", "DeltaHead", "begin_baseline"),
    "erase": ("erased",),
    "generation": ("Generation",),
    "stored": ("Ledger",),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

__all__ = [
    "TIME",
    "BaselineWriter",
    "Delta",
    "DeltaHead",
    "Generation",
    "Ledger",
    "Made",
    "Rules",
    "begin_baseline",
    "erased",
    "make_delta",
    "moved",
    "new_generation",
    "renewed",
    "whole_counts",
    "without",
]


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
