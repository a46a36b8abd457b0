"""Phone numbers that Customer.io would store as they are, and no text message would reach."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from cio_etl.audit.findings import PositionedFinding, Tally, finding_kind, sent
from cio_etl.model import POSITION
from cio_etl.model.words import counted
from cio_etl.transform import Mapped
from cio_etl.transform.checks import E164_SHAPE

PHONE_NOT_E164 = finding_kind(
    "phone_not_e164", "notice", "put `phone` in the mapping: text messages need the form +33612345678"
)


class Phones:
    """Observes the attribute `phone` of people: whether its texts are in E.164 form."""

    TARGET = "attributes.phone"

    def __init__(self) -> None:
        self._others = Tally()

    def observe(self, mapped: Mapped) -> None:
        rows = sent(mapped, [self.TARGET])
        if not rows[self.TARGET].dtype.is_nested():
            text = pl.col(self.TARGET).cast(pl.String)
            others = rows.select((text.is_not_null() & ~text.str.contains(E164_SHAPE)).alias("others"))
            self._others.add(rows[POSITION], others["others"].fill_null(False))

    def findings(self) -> Iterable[PositionedFinding]:
        if rows := self._others.rows:
            words = counted(rows, "phone number is not in E.164 form", "phone numbers are not in E.164 form")
            yield PHONE_NOT_E164.finding(self.TARGET, rows, words, self._others.first)
