"""Compares the columns of a source with those of the last finished run: a column of another kind is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.log import get_logger
from cio_etl.model import Snapshot, Step

log = get_logger()


def kinds(snapshot: Snapshot) -> dict[str, str]:
    """What each column contains, in the words of messages.

    Omitted are columns of nulls, and all columns of a snapshot without rows or with types that may differ tomorrow.
    """
    if snapshot.loose or not snapshot.rows:
        return {}
    return {name: kind(dtype) for name, dtype in snapshot.schema.items() if dtype != pl.Null}


def kind(dtype: pl.DataType) -> str:
    """What a column of this type contains; types of one kind are sent in the same way."""
    if dtype.is_numeric():
        return "numbers"
    if isinstance(dtype, pl.Datetime):
        return "times without a zone" if dtype.time_zone is None else "times with a zone"
    return {"String": "text", "Boolean": "true or false", "Date": "dates"}.get(str(dtype.base_type()), "nested values")


def check_drift(step: Step, before: Mapping[str, str], now: Mapping[str, str], mapped: Sequence[str]) -> None:
    """Raises SourceError when a column that the mapping reads is of another kind than in the last finished run."""
    changed = [
        f"{name!r} contained {before[name]} and now contains {now[name]}"
        for name in mapped
        if _differ(name, before, now)
    ]
    if changed:
        raise SourceError(
            "fix the source, or add --accept-drift to accept it as it is now",
            place=f"step {step.name}",
            what=f"since the last run, {'; '.join(changed)}",
        )
    others = [name for name in now if name not in before] if before else []
    if others:
        log.info("columns_appeared", step=step.name, columns=sorted(others))


def _differ(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    return name in before and name in now and before[name] != now[name]
