"""Identifiers: people whom Customer.io would merge or split by mistake, and how many people there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from cio_etl.apis import OPERATIONS
from cio_etl.audit.findings import FIRST, FindingKind, PositionedFinding, finding_kind, firsts, sent
from cio_etl.audit.keys import MOST, Groups, Keys, groups, hashed_text, parts_of
from cio_etl.model import POSITION, Mapping
from cio_etl.model.words import counted
from cio_etl.transform import Mapped
from cio_etl.transform.by_hash import sampled

EMAIL_SHARED = finding_kind(
    "email_shared",
    "warning",
    "fix the addresses, or merge the people; Customer.io drops such changes, and only its activity log says so",
)
PHONE_SHARED = finding_kind(
    "phone_shared",
    "notice",
    "nothing, unless numbers identify people in your workspace; then fix them, or merge the people",
)
EMAIL_CASE_TWINS = finding_kind("email_case_twins", "notice", "nothing; `lower` makes them alike")
ID_CASE_TWINS = finding_kind(
    "id_case_twins", "warning", "if they are one person, make them alike with functions such as `trim` and `lower`"
)
ID_ZERO_TWINS = finding_kind(
    "id_zero_twins",
    "warning",
    "if they are one person, find out where zeros were lost: a spreadsheet, or a column of numbers",
)
ID_IS_EMAIL = finding_kind("id_is_email", "notice", "write identifiers: {email: …}, if the column holds addresses")
ID_IS_CIO_ID = finding_kind(
    "id_is_cio_id", "warning", "write identifiers: {cio_id: …}, if they are Customer.io's own; else give them other ids"
)
ID_IS_SHORTENED = finding_kind(
    "id_is_shortened",
    "warning",
    "export the column as text: a spreadsheet has rounded these numbers, so that several ids become one",
)
ID_IS_DECIMAL = finding_kind(
    "id_is_decimal",
    "warning",
    'export whole numbers, or apply `{regex_replace: {pattern: "[.]0+$", new: ""}}`: 42.0 and 42 are two people',
)
PERSON_REPEATED = finding_kind(
    "person_repeated", "notice", "write order_by: updated_at in the mapping, if only the newest row is to be sent"
)


_ID, _EMAIL = "identifiers.id", "identifiers.email"
_IS_EMAIL, _IS_CIO_ID = pl.col(_ID).str.contains("@", literal=True), pl.col(_ID).str.starts_with("cio_")
_IS_SHORTENED = pl.col(_ID).str.contains(r"^[0-9](?:[.,][0-9]+)?[eE]\+?[0-9]{1,3}$")  # 1.23457E+15
_IS_DECIMAL = pl.col(_ID).str.contains(r"^[0-9]+\.0+$")  # of a column of whole numbers with nulls, as pandas writes it
_FOLDS = pl.col(_ID).str.contains(r"[A-Z\s]|[^\x00-\x7F]")  # it may contain capitals or white space
_BEGINS_WITH_ZERO = pl.col(_ID).str.starts_with("0")


# What identifies a person besides the id. A phone number does so only in workspaces that have it switched on.
_SHARED: dict[str, tuple[FindingKind, str, str, str]] = {
    "attributes.email": (EMAIL_SHARED, "address", "addresses", "Customer.io gives an address"),
    "attributes.phone": (
        PHONE_SHARED,
        "phone number",
        "phone numbers",
        "a workspace in which numbers identify people gives a number",
    ),
}


class Identity:
    """Counts people by the hash of their identifier, and observes ids and addresses that are probably mistakes."""

    def __init__(self, mapping: Mapping, most: int = MOST) -> None:
        self._who = [target for target in mapping.targets if target.startswith(("identifiers.", "object.", "primary."))]
        self._by_id, self._by_email = self._who == [_ID], self._who == [_EMAIL]
        self._identifies = OPERATIONS[mapping.operation].allows("order_by")
        self._nouns = ("object", "objects") if mapping.part("object") else ("person", "people")
        self._ordered = bool(mapping.order_by or mapping.operations)  # several changes of a person are meant
        varying = mapping.from_columns("attributes")
        observed = [target for target in _SHARED if target in varying] if self._identifies and self._by_id else []
        self._addresses = {target: Keys(most) for target in observed}
        self.people, self._cases, self._zeros = (Keys(most) for _ in range(3))
        self._emails, self._cio_ids = MatchingIds(_IS_EMAIL), MatchingIds(_IS_CIO_ID)
        self._shortened, self._decimals = MatchingIds(_IS_SHORTENED), MatchingIds(_IS_DECIMAL)

    def observe(self, mapped: Mapped) -> None:
        rows = sent(mapped, [*self._who, *self._addresses])
        who = as_written = _hashed(rows, self._who)
        if self._by_email:
            who = _hashed(rows.select(pl.col(_EMAIL).str.to_lowercase()), self._who)
            self._cases.add(rows[POSITION], who, as_written)
        self.people.add(rows[POSITION], who)
        if self._by_id and rows[_ID].dtype == pl.String:
            self._observe_ids(rows)
        for target, keys in self._addresses.items():
            if rows[target].dtype == pl.String:
                non_null = rows[target].is_not_null()
                address = rows[target].filter(non_null).str.to_lowercase()
                keys.add(rows[POSITION].filter(non_null), address.hash(), who.filter(non_null))

    def _observe_ids(self, rows: pl.DataFrame) -> None:
        conditions = (_IS_EMAIL, _IS_CIO_ID, _IS_SHORTENED, _IS_DECIMAL, _FOLDS, _BEGINS_WITH_ZERO)
        counts = rows.select(*(is_.sum().alias(str(n)) for n, is_ in enumerate(conditions))).row(0)
        emails, cio_ids, shortened, decimals, folds, zeros = counts
        self._emails.add(rows, emails)
        self._cio_ids.add(rows, cio_ids)
        self._shortened.add(rows, shortened)
        self._decimals.add(rows, decimals)
        if folds:
            _add_twins(self._cases, rows, pl.col(_ID).str.strip_chars().str.to_lowercase())
        if zeros:
            digits, without = (
                rows.filter(pl.col(_ID).str.contains("^0+[0-9]+$")),
                pl.col(_ID).str.strip_chars_start("0"),
            )
            _add_twins(self._zeros, digits, pl.when(without == "").then(pl.lit("0")).otherwise(without))

    def findings(self) -> Iterable[PositionedFinding]:
        yield from self._emails.findings(
            ID_IS_EMAIL, "id looks like an e-mail address", "ids look like e-mail addresses"
        )
        yield from self._cio_ids.findings(
            ID_IS_CIO_ID, "id begins with cio_, as Customer.io's own do", "ids begin with cio_, as Customer.io's own do"
        )
        yield from self._shortened.findings(
            ID_IS_SHORTENED, "id is written as 1.23457E+15 is", "ids are written as 1.23457E+15 is"
        )
        yield from self._decimals.findings(ID_IS_DECIMAL, "id is written as 42.0 is", "ids are written as 42.0 is")
        yield from self._of_several_ids()
        if self._by_id:
            yield from self._of_twins(ID_CASE_TWINS, self._cases, "by capitals or white space only")
            yield from self._of_twins(ID_ZERO_TWINS, self._zeros, "by leading zeros only")
        if self._by_email:
            words = "with different capitals; to Customer.io each address is one person"
            found = self._cases.summary().disagreeing
            one, several = f"address occurs {words}", f"addresses occur {words}"
            yield from _grouped(EMAIL_CASE_TWINS, _EMAIL, found, self._cases.every, one, several)
        if self._identifies and not self._ordered:
            found = self.people.summary().several
            rows = _about(found.rows, self.people.every, "row")
            words = f"several rows, {rows} in all, which are sent in the order of the source"
            noun, nouns = self._nouns
            one, several = f"{noun} has {words}", f"{nouns} have {words}"
            yield from _grouped(PERSON_REPEATED, None, found, self.people.every, one, several)

    def _of_several_ids(self) -> Iterator[PositionedFinding]:
        for target, keys in self._addresses.items():
            kind, noun, nouns, gives = _SHARED[target]
            found = keys.summary().disagreeing
            ids = _about(found.contents, keys.every, "id")
            one = f"{noun} belongs to several ids, {ids} in all; {gives} to one person only"
            several = f"{nouns} belong to several ids each, {ids} in all; {gives} to one person only"
            yield from _grouped(kind, target, found, keys.every, one, several)

    def _of_twins(self, kind: FindingKind, twins: Keys, difference: str) -> Iterator[PositionedFinding]:
        """Ids that equal another id once both are folded: they differ by nothing else than the `difference`."""
        if not twins.distinct():
            return
        every = max(twins.every, self.people.every)
        found, ids = Groups(), 0
        for rows, people in parts_of(twins, self.people):
            folded = groups(sampled(rows, every))  # those that are in both samples
            exists = pl.Series(np.isin(folded["key"].to_numpy(), people["key"].to_numpy()))
            found = found.with_part(folded.filter(exists | (folded["contents"] > 1)))
            ids += int(exists.sum())
        if found.keys:
            ids += found.contents
            words = f"from another id {difference}; to Customer.io they are different people"
            counts = _about(ids, every, f"id differs {words}", f"ids differ {words}")
            yield kind.finding(_ID, ids * every, counts, found.first)


class MatchingIds:
    """A count of the rows that meet a condition, and the positions of the first few."""

    def __init__(self, condition: pl.Expr) -> None:
        self._condition, self._rows, self._first = condition, 0, tuple[int, ...]()

    def add(self, rows: pl.DataFrame, count: int) -> None:
        """Add the next rows; `count` of them meet the condition."""
        self._rows += count
        if count and len(self._first) < FIRST:
            self._first = firsts(self._first, rows.filter(self._condition)[POSITION])

    def findings(self, kind: FindingKind, one: str, several: str) -> Iterator[PositionedFinding]:
        if self._rows:
            yield kind.finding(_ID, self._rows, counted(self._rows, one, several), self._first)


def _hashed(rows: pl.DataFrame, columns: list[str]) -> pl.Series:
    return hashed_text(rows[columns[0]]) if len(columns) == 1 else rows.select(columns).hash_rows()


def _add_twins(twins: Keys, rows: pl.DataFrame, fold: pl.Expr) -> None:
    """Add the rows whose id changes when it is folded, under the folded id."""
    other = rows.with_columns(fold.alias("fold")).filter(pl.col("fold") != pl.col(_ID))
    twins.add(other[POSITION], other["fold"].hash(), other[_ID].hash())


def _grouped(
    kind: FindingKind, field: str | None, groups: Groups, every: int, one: str, several: str
) -> Iterator[PositionedFinding]:
    if groups.keys:
        yield kind.finding(field, groups.rows * every, _about(groups.keys, every, one, several), groups.first)


def _about(count: int, every: int, one: str, several: str = "") -> str:
    """The total that a count in the sample stands for, with the words for one or several."""
    return counted(count, one, several) if every == 1 else f"about {counted(count * every, one, several)}"
