"""Columns that a source has gained or lost since the runs before, where the mapping takes all other columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cio_etl.audit.findings import PositionedFinding, finding_kind
from cio_etl.model.words import counted
from cio_etl.transform import Mapped

COLUMNS_NEW = finding_kind(
    "columns_new",
    "warning",
    'name the column as an attribute, write new_columns: take under "*", or list it under except',
)
COLUMNS_GONE = finding_kind(
    "columns_gone", "warning", "put the column back; or list it under except, and the attribute stays as it is"
)

_STAR = "attributes['*']"


class OtherColumnsChanged:
    """Reports the columns that are new or gone; `taken` has those that are sent."""

    def __init__(self, new: Sequence[str], gone: Sequence[str], taken: Sequence[str]) -> None:
        self._gone = gone
        self._sent = [name for name in new if name in taken]
        self._left = [name for name in new if name not in taken]

    def observe(self, mapped: Mapped) -> None:
        """Nothing to observe: the names of the source's columns say it all."""

    def findings(self) -> Iterable[PositionedFinding]:
        if self._left:
            words = f"{counted(len(self._left), 'new column is', 'new columns are')} not sent: {_listed(self._left)}"
            yield COLUMNS_NEW.finding(_STAR, 0, words)
        if self._sent:
            words = f"{counted(len(self._sent), 'new column is', 'new columns are')} sent: {_listed(self._sent)}"
            yield COLUMNS_NEW.finding(_STAR, 0, words, severity="notice")
        if self._gone:
            columns = counted(len(self._gone), "column is", "columns are")
            words = f"{columns} not in the source any more, so the attributes keep their values: {_listed(self._gone)}"
            yield COLUMNS_GONE.finding(_STAR, 0, words)


def _listed(names: Sequence[str]) -> str:
    """The names; one with an `@` is hidden: without a header line, a row becomes names."""
    return ", ".join("'…@…'" if "@" in name else repr(name) for name in names)
