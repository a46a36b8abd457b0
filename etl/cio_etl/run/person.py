"""Whom `forget` is to remove: by their identifiers, found in the files of ledgers and in rows of a source."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from collections.abc import Mapping as MappingOf
from functools import reduce
from operator import or_

import polars as pl

from cio_etl.apis import KEY, OPERATIONS
from cio_etl.config import source_columns, with_columns
from cio_etl.errors import EtlError
from cio_etl.model import Constant, IdentifierKind, Mapping, Value
from cio_etl.model.records import dataclass
from cio_etl.transform import collect_facts, column_of, compile_mapping, ids, members_of
from cio_etl.transform.parts import subject_targets
from cio_etl.transform.repeats import key_text


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody by one or more identifiers, as Customer.io has them."""

    identifiers: MappingOf[IdentifierKind, str]

    def is_in_ledger(self, mapping: Mapping, salt: int) -> _InLedger:
        """How they are found in the ledger of a step with this mapping."""
        hashes = list(self._hashes(mapping, salt)) if _is_about_people(mapping) else []
        return _InLedger(self, hashes)

    def subjects(self, mapping: Mapping, salt: int) -> list[int]:
        """The subjects of the rejects that are theirs, as transform/reject_keys.py has them."""
        hashes = [hi for hi, _ in self._hashes(mapping, salt)] if _is_about_people(mapping) else []
        return [hi - (1 << 64) if hi >= 1 << 63 else hi for hi in hashes]

    def why_not_found(self, mapping: Mapping, *, has_keys: bool) -> str:
        """Why they may be in the ledger of this mapping and cannot be found; "" when they can be, or are never in it.

        `has_keys`: it stores who its subjects are.
        """
        if OPERATIONS[mapping.operation].has_event:
            return ""
        kinds = [target.rpartition(".")[2] for target in _subject(mapping) if _is_of_person(target)]
        others = [target for target in _subject(mapping) if not _is_of_person(target)]
        if has_keys or not kinds:
            return ""
        if others:
            return f"it has hashes of the person and {', '.join(others)} together"
        missing = [kind for kind in kinds if kind not in self.identifiers]
        of = " or their ".join(kinds)
        return "" if not missing else f"it knows people by their {of}; give --person {missing[0]}:…"

    def are_in_rows(self, rows: pl.DataFrame, mapping: Mapping) -> pl.Series:
        """Which of these rows of a source are about them, as their cells are written and as the mapping reads them."""
        mapping = _with_other_columns(mapping, rows)
        plain = {name for name, dtype in rows.schema.items() if not dtype.is_nested()}
        values = [(kind, value) for kind in self.identifiers for value in _values(mapping, kind)]
        cells = [
            self._is_cell(kind, name) for kind, value in values for name in sorted(plain.intersection(value.sources))
        ]
        found = rows.with_columns(_found=_any(cells))["_found"]
        for kind, value in values:
            found |= self._is_read(rows, Mapping(mapping.file, "identify", {f"identifiers.{kind}": value}))
        return found

    def is_in_text(self, text: pl.Expr) -> pl.Expr:
        """Whether a text names them."""
        lower = text.str.to_lowercase()
        return _any([lower.str.contains(value.lower(), literal=True) for value in self.identifiers.values()])

    def _is_cell(self, kind: IdentifierKind, name: str) -> pl.Expr:
        cell, value = column_of(name).cast(pl.String, strict=False).str.strip_chars(), self.identifiers[kind].strip()
        if kind == "email":
            cell, value = cell.str.to_lowercase(), value.lower()
        return cell.is_in([value, json.dumps(value, ensure_ascii=False), f"{value}.0"])

    def _is_read(self, rows: pl.DataFrame, mapping: Mapping) -> pl.Series:
        """Which of these rows are about them by the one identifier of this mapping; none, if it cannot read them."""
        (target,) = mapping.targets
        try:
            known = collect_facts(mapping, rows.schema, lambda names: [rows])
            values = compile_mapping(mapping, rows.schema, known, "", lanes=1).mapped(rows).values
        except (EtlError, pl.exceptions.PolarsError):
            return pl.repeat(False, rows.height, eager=True)
        return values.select(_any([key_text(target) == self._text(target)])).to_series()

    def _text(self, target: str) -> str:
        value = self.identifiers[target.rpartition(".")[2]]  # type: ignore[index]
        return str(pl.DataFrame({target: [value]}).select(key_text(target)).item())

    def _hashes(self, mapping: Mapping, salt: int) -> Iterator[tuple[int, int]]:
        """The subjects that they may be: by any of the identifiers, since the mapping may have had another one."""
        for kind in self.identifiers:
            text = self._text(f"identifiers.{kind}")
            yield _subject_of(text, salt=salt)
            if f"identifiers.{kind}" in mapping.alternatives:  # the others are empty: see transform/parts.py
                others = (each == f"identifiers.{kind}" for each in mapping.alternatives)
                yield _subject_of(*(text if is_this else "" for is_this in others), salt=salt)


@dataclass(frozen=True, slots=True)
class _InLedger:
    """Finds a person in the files of a ledger: by the hash of the subject, and by its keys where they are stored."""

    person: Person
    hashes: Collection[tuple[int, int]]

    def __call__(self, columns: Collection[str]) -> pl.Expr:
        facts = [(pl.col("hi") == hi) & (pl.col("lo") == lo) for hi, lo in self.hashes]
        for name in columns:
            target = name.removeprefix(KEY)
            if name != target and _is_of_person(target) and target.rpartition(".")[2] in self.person.identifiers:
                facts.append(pl.col(name) == self.person._text(target))
        return _any(facts)


def _subject_of(*texts: str, salt: int) -> tuple[int, int]:
    hi, lo = ids.subject([pl.lit(text) for text in texts], salt)
    return pl.select(hi=hi, lo=lo).row(0)


def _any(facts: Collection[pl.Expr]) -> pl.Expr:
    return reduce(or_, (fact.fill_null(False) for fact in facts), pl.lit(False))


def _subject(mapping: Mapping) -> list[str]:
    return [target for target in subject_targets(mapping) if not isinstance(mapping.targets[target], Constant)]


def _is_of_person(target: str) -> bool:
    """Whether a target is an identifier of a person: `secondary.id`, `relationships[0].person.email`."""
    return target.startswith(("identifiers.", "primary.", "secondary.")) or ".person." in target


def _is_about_people(mapping: Mapping) -> bool:
    """Whether the subjects of the mapping's ledger are people."""
    subject = _subject(mapping)
    return not OPERATIONS[mapping.operation].has_event and all(each.startswith("identifiers.") for each in subject)


def _values(mapping: Mapping, kind: str) -> Iterator[Value]:
    """What a mapping reads this identifier of a person from; an address may be an attribute, too."""
    for target, value in mapping.targets.items():
        is_identifier = _is_of_person(target) and target.endswith(f".{kind}")
        if is_identifier or (target == f"attributes.{kind}" and kind != "id"):
            yield value


def _with_other_columns(mapping: Mapping, rows: pl.DataFrame) -> Mapping:
    """The plain form of a mapping with `*` for all columns of these rows, where that is possible."""
    if mapping.other_columns is None:
        return mapping
    try:
        of = mapping.other_columns.of
        columns = rows.columns if of is None else members_of(mapping, rows.schema, lambda name: [rows])
        return with_columns(mapping, source_columns(mapping, columns, None).taken)
    except EtlError:
        return mapping
