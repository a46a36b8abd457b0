"""Declares the options of a validation, beyond those of reading, and names those of a plan. See run/options.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cio_etl.run.options import ReadOptions, option

# The options of a run that a plan has, too: `apply` takes them from the plan.
PLAN_OPTIONS = (
    "steps",
    "target",
    "limit",
    "full_refresh",
    "watermark",
    "retry_refused",
    "accept_changes",
    "accept_unexpected",
    "rebuild_ledger",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateOptions(ReadOptions):
    """What a validation is asked to do, beyond what its job file says."""

    report: str | None = option(
        None, "Where the report is written.", "folder", short="-o", metavar="FOLDER", interfaces=("cli",)
    )
    reveal: bool = option(False, "Show values of rows in the report.", "flag", interfaces=("cli",))
    rejects: str | None = option(
        None,
        "Write the rejected rows with their reasons to this .csv, .parquet or .ndjson file, which must not exist.",
        "text",
        metavar="FILE",
        interfaces=("cli",),
    )
    fail_on: Sequence[str] = option(
        (),
        "Exit with 4 when there is this: a reason, a finding, `warning`, more rejects than 1% or 100, or more rows "
        "without a value than omitted:1%. Repeatable.",
        "texts",
        metavar="WHAT",
        interfaces=("cli", "airflow"),
    )
