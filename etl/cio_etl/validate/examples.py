"""Makes tests of a mapping from rows of its source: rows that differ, masked so that the same becomes of them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from cio_etl.apis import DEFAULT_API
from cio_etl.audit import mask
from cio_etl.config import SCHEMA_FILE, tests_file
from cio_etl.config.json_schema import MODELINE
from cio_etl.config.new_files import write_new, write_schema
from cio_etl.config.yaml_file import read_yaml
from cio_etl.config.yaml_writer import comment, scalar, wrapped
from cio_etl.errors import SourceError
from cio_etl.log.temporary import temporary_folder
from cio_etl.model import ENTRY, FAULT, POSITION, Bookmark, Snapshot, Step
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted
from cio_etl.report import Observer
from cio_etl.run import limited, open_step_source, prepare, staging
from cio_etl.run.chosen_steps import load_steps, note_stand_ins
from cio_etl.run.options import ReadOptions
from cio_etl.run.other_columns import with_other_columns
from cio_etl.transform import columns_of, columns_of_source, exploded, path_of, with_paths
from cio_etl.validate.preview import EVIDENCE_ROWS, PreviewedRow, sent_rows
from cio_etl.validate.tests_update import key_text, result_of
from cio_etl.validate.yaml_rows import UnfitRows, snapshot_of

LOOKED_AT = 200_000  # rows of a source among which the examples are chosen
KINDS_OF_ROWS = 10_000  # that are kept in memory
COMMON_ROWS, COMMON_VALUES = 5, 50  # a value of so many rows, in a column of so few values, describes no person

Row = dict[str, Any]
Test = tuple[str, Row, PreviewedRow]  # its name, its row, and what is sent for it


@dataclass(frozen=True, slots=True)
class Written:
    """The tests that were made for a step; `left_out` says which rows could not be masked, and why."""

    file: Path | None  # None: no row could be made a test
    names: tuple[str, ...]
    left_out: tuple[str, ...]


def write_examples(
    path: Path, rows: int, options: ReadOptions, observer: Observer, *, reveal: bool = False
) -> Iterator[Written]:
    """Writes tests for each mapping of a job, from this many rows of its source. Sends nothing. Raises EtlError."""
    job = load_steps(path, options, secrets=False)
    note_stand_ins(job, observer)
    for step in job.steps:
        with temporary_folder() as stage:
            how = staging(Path(stage), step, Bookmark(), rows=max(rows, EVIDENCE_ROWS))
            snapshot = open_step_source(step, how)
            yield _written(path, step, snapshot, job.destination.api, rows, reveal, Path(stage) / "test.yaml")


def _written(job: Path, step: Step, snapshot: Snapshot, api: str, rows: int, reveal: bool, trial: Path) -> Written:
    step, _ = with_other_columns(step, snapshot, Bookmark())
    look = _look(step, snapshot, api)
    types = _types(step, snapshot)
    made: list[Test] = []
    left_out: list[str] = []
    for position, words in look.chosen():
        if len(made) == rows:
            break
        try:
            real = _row(step, snapshot, position)
            before = _alone(step, real, types, api)
            if _outcome(before) != look.outcomes[position]:
                continue  # it depends on other rows
            masked = real if reveal else _masked(step, real, types, api, before, look.common)
            test = (words, masked, _alone(step, masked, types, api))
            _require_readable(test, api, trial)
        except UnfitRows as error:
            left_out.append(f"{snapshot.places([position])[position]}: {error}")
            continue
        made.append(test)
    names = tuple(words for words, _, _ in made)
    if not made:
        return Written(None, (), tuple(left_out))
    file = _free(tests_file(Path(step.mapping.file)))
    used = {name: kind for name, kind in types.items() if _is_needed(kind, [row[name] for _, row, _ in made])}
    write_new(file, _text(job, step, made, used, api, masked=not reveal))
    write_schema(file.parent / SCHEMA_FILE, "tests")
    return Written(file, names, tuple(left_out))


def _free(file: Path) -> Path:
    """The first of customers.yaml, customers.2.yaml, … that does not exist."""
    number, free = 1, file
    while free.exists():
        number += 1
        free = file.with_name(f"{file.stem}.{number}.yaml")
    return free


def _text(
    job: Path,
    step: Step,
    made: Sequence[Test],
    types: Mapping[str, str],
    api: str,
    masked: bool,
) -> str:
    rows = "masked rows" if masked else "real rows"
    file = shlex.quote(str(job))
    about = (
        f"Tests of {step.mapping.file}, made by `cio-etl examples {file}` from {rows}. Run them: cio-etl test {file}"
    )
    lines = [MODELINE, *comment(about)]
    if types:
        lines += wrapped("types:", types, "  ")
    lines.append("tests:")
    for test in made:
        lines += _lines(test, api)
    return "\n".join(lines) + "\n"


def _lines(test: Test, api: str) -> list[str]:
    words, row, sent = test
    lines = [f"  - name: {scalar(words)}"]
    lines += [f"    {line}" if place == 0 else line for place, line in enumerate(wrapped("row:", row, " " * 10))]
    lines.append(f"    {key_text(*result_of(sent, api), 4)}")
    if api != DEFAULT_API and sent.item is None:
        lines.append(f"    api: {api}")
    return lines


def _require_readable(test: Test, api: str, trial: Path) -> None:
    """Raises UnfitRows when the test, written into the file `trial`, is not read as it is meant."""
    _, row, _ = test
    trial.write_text("\n".join(["tests:", *_lines(test, api)]) + "\n", encoding="utf-8")
    document = read_yaml(trial)
    if document.data is None or document.problems or repr(document.data["tests"][0]["row"]) != repr(row):
        what = "a value that YAML cannot hold, such as a number of more than 64 bits"
        raise UnfitRows(f"{what}; write the test with source: and a file")


# ---------------------------------------------------------------- which rows


@dataclass(frozen=True, slots=True)
class _Look:
    """The kinds of rows of a source: outcome, nulls (how many), rows, first (position), the most frequent first.

    `first` is the first row of its kind that has the fewest rare values, `rare`, which a test could not keep.
    """

    kinds: pl.DataFrame
    common: Mapping[str, frozenset[Any]]  # values by column that describe no person

    @property
    def outcomes(self) -> dict[int, str]:
        return dict(self.kinds.select("first", "outcome").iter_rows())

    def chosen(self) -> Iterator[tuple[int, str]]:
        """Positions of rows that differ, with words: a usual one, one with nulls, a rejected one, a skipped one, …"""
        sent = self.kinds.filter(pl.col("outcome") == "sent")
        others = self.kinds.filter(pl.col("outcome") != "sent").unique("outcome", keep="first", maintain_order=True)
        usual = [(first, "a usual row") for first in sent["first"].head(1)]
        unlike = (pl.col("nulls").cast(pl.Int64) - pl.col("nulls").first().cast(pl.Int64)).abs().alias("unlike")
        nulls = sent.with_columns(unlike).slice(1).sort("unlike", descending=True, maintain_order=True)
        with_nulls = [
            (first, f"a row with {counted(count, 'null')}") for first, count in nulls["first", "nulls"].iter_rows()
        ]
        rejected = others.filter(pl.col("outcome") != "skipped")
        with_reasons = [(first, outcome) for first, outcome in rejected["first", "outcome"].iter_rows()]
        skipped = [(first, "skipped") for first in others.filter(pl.col("outcome") == "skipped")["first"]]
        yield from [*usual, *with_nulls[:1], *with_reasons[:1], *skipped, *with_reasons[1:], *with_nulls[1:]]


def _look(step: Step, snapshot: Snapshot, api: str) -> _Look:
    all_rows, compiled = prepare(step, snapshot, 1, api)
    names = [name for name in columns_of(step.mapping) if name in snapshot.schema]
    numbers = {name: pl.UInt32 for name in ("nulls", "rows", "rare")}
    kinds = pl.DataFrame(schema={"outcome": pl.String, "flags": pl.UInt64, **numbers, "first": pl.Int64})
    common: dict[str, frozenset[Any]] = {}
    for frame in limited(all_rows, LOOKED_AT).read(compiled.columns, 0):
        common = common or {name: _common(frame[name]) for name in names}
        mapped = compiled.mapped(frame)
        empty = [pl.col(name).is_null().alias(str(place)) for place, name in enumerate(names)] or [
            pl.lit(False).alias("0")
        ]
        flags = frame.filter(pl.col(FAULT).is_null()).select(POSITION, *empty)
        plain = [name for name, kind in frame.schema.items() if kind == pl.String or kind.is_integer()]
        codes = {name: values for name in plain if (values := common.get(name))}
        rare = pl.sum_horizontal(pl.col(POSITION) * 0, *(~pl.col(name).is_in(values) for name, values in codes.items()))
        flags = flags.select(
            pl.col(POSITION).alias("position"),
            pl.struct(pl.exclude(POSITION)).hash().alias("flags"),
            pl.sum_horizontal(pl.exclude(POSITION)).cast(pl.UInt32).alias("nulls"),
        ).with_columns(frame.filter(pl.col(FAULT).is_null()).select(rare.cast(pl.UInt32).alias("rare")))
        rejected = pl.when(pl.col("reason").is_null()).then(pl.lit("skipped"))
        outcome = pl.when(pl.col("item").is_not_null()).then(pl.lit("sent"))
        outcomes = outcome.otherwise(rejected.otherwise(pl.format("rejected: {}", "reason"))).alias("outcome")
        rows = mapped.items.select("position", outcomes).join(flags, on="position", maintain_order="left")
        new = rows.select(
            "outcome",
            "flags",
            "nulls",
            pl.lit(1, dtype=pl.UInt32).alias("rows"),
            "rare",
            pl.col("position").alias("first"),
        )
        by_kind = pl.concat([kinds, new]).group_by("outcome", "flags", maintain_order=True)
        least = pl.col("first").sort_by("rare", "first").first()
        merged = by_kind.agg(pl.col("nulls").first(), pl.col("rows").sum(), pl.col("rare").min(), least)
        kinds = merged.head(KINDS_OF_ROWS).select(new.columns)
    return _Look(kinds.sort("rows", descending=True, maintain_order=True), common)


def _common(column: pl.Series) -> frozenset[Any]:
    if column.dtype.is_nested() or column.n_unique() > COMMON_VALUES:
        return frozenset()
    counts = column.drop_nulls().value_counts()
    return frozenset(value for value, rows in counts.iter_rows() if rows >= COMMON_ROWS)


# ---------------------------------------------------------------- a row as YAML has it


def _types(step: Step, snapshot: Snapshot) -> dict[str, str]:
    """The type of each column that the mapping uses, in the words of a file of tests; "": it shows in the values."""
    return {name: "json" if name in snapshot.json else _type(snapshot.schema[name]) for name in _names(step, snapshot)}


def _type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return "datetime" if dtype.time_zone is None else "datetime_utc"
    if dtype.is_decimal():
        return "decimal"
    if dtype.is_numeric():
        return "integer" if dtype.is_integer() else "number"
    return {"Date": "date", "Boolean": "boolean"}.get(str(dtype.base_type()), "" if dtype.is_nested() else "text")


def _is_needed(kind: str, values: Sequence[Any]) -> bool:
    """Whether the values do not show their type."""
    if kind in ("", "text"):
        return False
    return kind not in ("integer", "number", "boolean") or any(value is None for value in values)


def _row(step: Step, snapshot: Snapshot, position: int) -> Row:
    names, place = _names(step, snapshot), [] if step.mapping.explode is None else [ENTRY]
    frame = next(snapshot.read([*names, *place], position)).filter(pl.col(POSITION) == position)
    row = {}
    for name in names:
        column = frame[name]
        if name in snapshot.json:
            row[name] = _from_json(name, column.item())
        elif isinstance(dtype := column.dtype, pl.Datetime):
            text = "%Y-%m-%dT%H:%M:%S%.fZ" if dtype.time_zone else "%Y-%m-%d %H:%M:%S%.f"
            row[name] = (column.dt.convert_time_zone("UTC") if dtype.time_zone else column).dt.to_string(text).item()
        elif column.dtype.is_decimal() or column.dtype == pl.Date:
            row[name] = column.cast(pl.String).item()
        else:
            row[name] = column.to_list()[0]
            _require_plain(name, row[name])
    if step.mapping.explode is not None:  # as the source has it: a list
        has_entry = frame[ENTRY].item() is not None
        row[step.mapping.explode] = [row[step.mapping.explode]] if has_entry else []
    return row


def _names(step: Step, snapshot: Snapshot) -> list[str]:
    """The columns of a row: those that the mapping reads, with a list that it explodes instead of the entry's parts."""
    of_list = () if step.mapping.explode is None else (step.mapping.explode,)
    read = [name for name in columns_of_source(step.mapping) if name in snapshot.schema]
    return [name for name in read if path_of(name, of_list) is None]


def _require_plain(name: str, value: Any) -> None:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _require_plain(name, inner)
    elif not (value is None or isinstance(value, str | int | float | bool)):
        raise UnfitRows(f"column {name!r} holds bytes, or dates in lists; write the test with source: and a file")


def _from_json(name: str, text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:  # a day or time among values of other kinds
        raise UnfitRows(f"column {name!r} holds a date beside other values; write the test with source:") from None


def _alone(step: Step, row: Row, types: Mapping[str, str], api: str) -> PreviewedRow:
    """What is sent for a row that is the only one of its source."""
    snapshot = snapshot_of([row], {name: kind for name, kind in types.items() if kind})
    if step.mapping.explode is not None:
        snapshot = with_paths(exploded(snapshot, step.mapping), step.mapping)
    return next(iter(sent_rows(step, snapshot, api)))


def _outcome(row: PreviewedRow) -> str:
    return "sent" if row.item is not None else "skipped" if row.reason is None else f"rejected: {row.reason}"


# ---------------------------------------------------------------- masking


def _masked(
    step: Step,
    real: Row,
    types: Mapping[str, str],
    api: str,
    before: PreviewedRow,
    common: Mapping[str, frozenset[Any]],
) -> Row:
    """The row with masked values, of which the same becomes. Raises UnfitRows when a column allows none."""
    wanted = _shape(before)

    def holds(row: Row) -> bool:
        try:
            return bool(_shape(_alone(step, row, types, api)) == wanted)
        except (UnfitRows, SourceError):
            return False

    choices = {name: _choices(value, types[name], common.get(name, frozenset())) for name, value in real.items()}
    masked = {name: values[0] for name, values in choices.items()}
    if holds(masked):
        return masked
    for name, values in choices.items():
        fitting = (value for value in values if value is real[name] or holds(real | {name: value}))
        if (masked_value := next(fitting, _NONE)) is _NONE:
            raise UnfitRows(f"no masked value of column {name!r} has the same result; --reveal writes the real values")
        masked[name] = masked_value
    if not holds(masked):
        raise UnfitRows("the masked row has another result; --reveal writes the real values")
    return masked


_NONE = object()


def _shape(row: PreviewedRow) -> Any:
    """What becomes of a row, without its values: the keys of the payload with their kinds, or the reason."""
    return _outcome(row), row.field, sorted(row.omitted), _kinds(row.result().get("payload"))


def _kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _kinds(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_kinds(inner) for inner in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _choices(value: Any, kind: str, common: frozenset[Any]) -> list[Any]:
    """A value's masked forms, the most masked first; the value itself only where it describes no person."""
    if value is None or isinstance(value, bool):
        return [value]
    found = [made for form in _FORMS if (made := _applied(value, form, kind)) is not None]
    if not isinstance(value, dict | list) and value in common:
        found.append(value)
    return found or [value]


def _applied(value: Any, form: Any, kind: str) -> Any:
    """The value in a masked form; None where a number or date has none."""
    if isinstance(value, dict):
        return {name: _applied(inner, form, kind) for name, inner in value.items()}
    if isinstance(value, list):
        return [_applied(inner, form, kind) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    text = form(str(value))
    if isinstance(value, str):
        return text if kind in ("text", "json", "") or "#" not in text else None
    try:
        return type(value)(text)
    except ValueError:
        return None


def _ones(text: str, *, keeps_start: bool = False) -> str:
    """Digits as 1, letters as x and X; years stay in their century, so that dates stay dates.

    >>> [_ones(text) for text in ("2024-03-10T09:00:00Z", "10/03/1999", "Anna@Example.com", "1710057600")]
    ['2011-11-11T11:11:11Z', '11/11/1911', 'Xxxx@Xxxxxxx.com', '1111111111']
    >>> _ones("+33612345678", keeps_start=True)
    '+33611111111'
    """
    kept = min(4, len(text) // 3) if keeps_start else 0
    label = re.search(r"\.[A-Za-z]{2,6}\s*$", text) if "@" in text else None
    end = max(label.start() if label else len(text), kept)
    return text[:kept] + _WORD.sub(_one_word, text[kept:end]) + text[end:]


_WORD = re.compile(r"(?P<sign>(?<=\d)[TZ](?![^\W\d_]))|(?P<digits>\d+)|[^\W\d_]+")  # a sign of ISO 8601


def _one_word(found: re.Match[str]) -> str:
    if found["sign"]:
        return found["sign"]
    if digits := found["digits"]:
        century = digits[:2] if len(digits) in (4, 8) and digits[:2] in ("19", "20") else ""
        return century + "1" * (len(digits) - len(century))
    return "".join("X" if sign.isupper() else "x" for sign in found[0])


# The forms of a text, the most masked first: as reports show it, as the same kind of text, with its first signs.
_FORMS = (mask, _ones, partial(_ones, keeps_start=True))
