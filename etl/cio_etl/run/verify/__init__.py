"""Reads a sample of people back from Customer.io, and compares it with what was sent.

sample.py     rows -> a random sample of people, in one pass: what Customer.io should have of each
read_back.py  people -> what Customer.io has, through the App API, at its rate
compare.py    the two, attribute by attribute
bound.py      how many of all people differ at most
verify.py     where these meet

Names are loaded on first use: most runs read nothing back.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.run.verify.read_back import ReadBack
    from cio_etl.run.verify.sample import Sample
    from cio_etl.run.verify.verify import verified

_FILES = {"read_back": ("ReadBack",), "sample": ("Sample",), "verify": ("verified",)}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

__all__ = ["ReadBack", "Sample", "verified"]


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
