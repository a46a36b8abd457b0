"""Dry runs: what a run would do, and the payloads of the first rows. Nothing is sent.

validation.py     validates the job of a file: for the command, the Python API and Airflow
dry_run.py        reads, maps, checks and packs every row
rejected_file.py  writes the rejected rows to a file
fail_on.py        decides what makes a validation fail that a run would let pass
plan.py           compares every row with the ledger, and runs a job as it was planned
preview.py        makes the payloads of a step's first rows
plain.py          prints files in their plain form
mapping_tests.py  runs the tests of mappings, on the way of a preview
yaml_rows.py      rows in YAML as a snapshot
tests_update.py   writes what is sent as what is expected
junit.py          outcomes of tests as JUnit XML
examples.py       makes tests from rows of a source, masked
options.py        the options of a validation

Other rooms import from here. Names are loaded on first use, because a dry run needs polars and `--help` does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.validate.options import ValidateOptions
    from cio_etl.validate.preview import preview_file, preview_lines
    from cio_etl.validate.validation import Validation, validate_file

_ROOM = {
    "ValidateOptions": "options",
    "Validation": "validation",
    "preview_file": "preview",
    "preview_lines": "preview",
    "validate_file": "validation",
}

__all__ = ["ValidateOptions", "Validation", "preview_file", "preview_lines", "validate_file"]


def __getattr__(name: str) -> Any:
    if name in _ROOM:
        return getattr(import_module(f"cio_etl.validate.{_ROOM[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
