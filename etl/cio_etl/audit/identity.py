"""Who are these rows of? People that are one, or several, only to Customer.io; and how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import polars as pl

from cio_etl.audit.found import FIRST, Found, firsts, sent
from cio_etl.audit.keys import MOST, Keys
from cio_etl.model import POSITION, Constant, Mapping
from cio_etl.transform import Mapped
from cio_etl.transform.operations import OPERATIONS

_ID, _EMAIL = "identifiers.id", "identifiers.email"
_IS_EMAIL, _IS_CIO_ID = pl.col(_ID).str.contains("@", literal=True), pl.col(_ID).str.starts_with("cio_")
_FOLDS = pl.col(_ID).str.contains(r"[A-Z\s]|[^\x00-\x7F]")  # what capitals or white space there may be in
_BEGINS_WITH_ZERO = pl.col(_ID).str.starts_with("0")


# What identifies a person beside the id. A number does so only in workspaces that have it switched on.
_SHARED: dict[str, tuple[str, Literal["warning", "notice"], str, str]] = {
    "attributes.email": ("email_shared", "warning", "addresses", "Customer.io gives an address"),
    "attributes.phone": (
        "phone_shared",
        "notice",
        "phone numbers",
        "a workspace in which numbers identify people gives a number",
    ),
}


class Identity:
    """Counts people by the hash of their identifier, and looks for ids and addresses that are not what they seem."""

    def __init__(self, mapping: Mapping, most: int = MOST) -> None:
        self._who = [
            target for target in mapping.values() if target.startswith(("identifiers.", "object.", "primary."))
        ]
        self._by_id, self._by_email = self._who == [_ID], self._who == [_EMAIL]
        self._identifies = OPERATIONS[mapping.operation].allows("order_by")
        self._are = "objects" if mapping.object else "people"
        self._ordered = bool(mapping.order_by)
        varying = {
            f"attributes.{name}" for name, value in mapping.attributes.items() if not isinstance(value, Constant)
        }
        looked_at = [target for target in _SHARED if target in varying] if self._identifies and self._by_id else []
        self._addresses = {target: Keys(most) for target in looked_at}
        self.people, self._cases, self._zeros = (Keys(most) for _ in range(3))
        self._emails, self._cio_ids = Looks(_IS_EMAIL), Looks(_IS_CIO_ID)

    def observe(self, mapped: Mapped) -> None:
        rows = sent(mapped, [*self._who, *self._addresses])
        who = written = _hashed(rows, self._who)
        if self._by_email:
            who = _hashed(rows.select(pl.col(_EMAIL).str.to_lowercase()), self._who)
            self._cases.add(rows[POSITION], who, written)
        self.people.add(rows[POSITION], who)
        if self._by_id and rows[_ID].dtype == pl.String:
            self._look_at_ids(rows)
        for target, keys in self._addresses.items():
            if rows[target].dtype == pl.String:
                known = rows[target].is_not_null()
                address = rows[target].filter(known).str.to_lowercase()
                keys.add(rows[POSITION].filter(known), address.hash(), who.filter(known))

    def _look_at_ids(self, rows: pl.DataFrame) -> None:
        asked = (_IS_EMAIL, _IS_CIO_ID, _FOLDS, _BEGINS_WITH_ZERO)
        emails, cio_ids, folds, zeros = rows.select(*(is_.sum().alias(str(n)) for n, is_ in enumerate(asked))).row(0)
        self._emails.add(rows, emails)
        self._cio_ids.add(rows, cio_ids)
        if folds:
            _add_twins(self._cases, rows, pl.col(_ID).str.strip_chars().str.to_lowercase())
        if zeros:
            digits, without = (
                rows.filter(pl.col(_ID).str.contains("^0+[0-9]+$")),
                pl.col(_ID).str.strip_chars_start("0"),
            )
            _add_twins(self._zeros, digits, pl.when(without == "").then(pl.lit("0")).otherwise(without))

    def findings(self) -> Iterable[Found]:
        yield from self._emails.found("id_is_email", "notice", "ids look like e-mail addresses")
        yield from self._cio_ids.found("id_is_cio_id", "warning", "ids begin with cio_, as Customer.io's own do")
        yield from self._of_several_ids()
        if self._by_id:
            words = "ids differ from another one by capitals or white space only; to Customer.io they are other people"
            yield from self._of_twins("id_case_twins", self._cases, words)
            words = "ids differ from another one by leading zeros only; to Customer.io they are other people"
            yield from self._of_twins("id_zero_twins", self._zeros, words)
        if self._by_email:
            words = "addresses are written in several ways, by capitals; to Customer.io each is one person"
            yield from _grouped(
                "email_case_twins", "notice", _EMAIL, self._cases.disagreeing(), self._cases.every, words
            )
        if self._identifies and not self._ordered:
            groups = self.people.several()
            rows = _about(int(groups["rows"].sum()), self.people.every)
            words = f"{self._are} have several rows, {rows} in all, which are sent in the order of the source"
            yield from _grouped("person_repeated", "notice", None, groups, self.people.every, words)

    def _of_several_ids(self) -> Iterator[Found]:
        for target, keys in self._addresses.items():
            code, severity, are, gives = _SHARED[target]
            groups = keys.disagreeing()
            ids = _about(int(groups["ofs"].sum()), keys.every)
            words = f"{are} are those of several ids each, {ids} ids; {gives} to one person only"
            yield from _grouped(code, severity, target, groups, keys.every, words)

    def _of_twins(self, code: str, twins: Keys, words: str) -> Iterator[Found]:
        """Ids that are another one that is there, or one another, when they are folded."""
        if not (groups := twins.groups()).height:
            return
        every = max(twins.every, self.people.every)
        groups = groups.filter(pl.col("key") % every == 0)  # those that the other has kept, too
        there = pl.Series(np.isin(groups["key"].to_numpy(), self.people.keys()))
        several = groups.filter(there | (groups["ofs"] > 1))
        if several.height:
            ids = int(several["ofs"].sum()) + int(there.sum())
            yield Found(code, "warning", _ID, ids * every, f"{_about(ids, every)} {words}", _first(several))


class Looks:
    """Rows of which something holds: how many, and the first few."""

    def __init__(self, holds: pl.Expr) -> None:
        self._holds, self._rows, self._first = holds, 0, tuple[int, ...]()

    def add(self, rows: pl.DataFrame, count: int) -> None:
        """The next rows, of which it holds of so many."""
        self._rows += count
        if count and len(self._first) < FIRST:
            self._first = firsts(self._first, rows.filter(self._holds)[POSITION])

    def found(self, code: str, severity: Literal["warning", "notice"], words: str) -> Iterator[Found]:
        if self._rows:
            yield Found(code, severity, _ID, self._rows, f"{self._rows:,} {words}", self._first)


def _hashed(rows: pl.DataFrame, columns: list[str]) -> pl.Series:
    return rows[columns[0]].hash() if len(columns) == 1 else rows.select(columns).hash_rows()


def _add_twins(twins: Keys, rows: pl.DataFrame, fold: pl.Expr) -> None:
    """Notes the rows whose id is another one when it is folded, by that one."""
    other = rows.with_columns(fold.alias("fold")).filter(pl.col("fold") != pl.col(_ID))
    twins.add(other[POSITION], other["fold"].hash(), other[_ID].hash())


def _grouped(
    code: str, severity: Literal["warning", "notice"], field: str | None, groups: pl.DataFrame, every: int, words: str
) -> Iterator[Found]:
    if groups.height:
        rows = int(groups["rows"].sum()) * every
        yield Found(code, severity, field, rows, f"{_about(groups.height, every)} {words}", _first(groups))


def _about(count: int, every: int) -> str:
    """A count of those that are held, for all."""
    return f"{count:,}" if every == 1 else f"about {count * every:,}"


def _first(groups: pl.DataFrame) -> tuple[int, ...]:
    """The first rows of the group that comes first: they belong together."""
    return tuple(groups["firsts"][0].to_list())
