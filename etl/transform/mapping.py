"""How do rows become items? A mapping, compiled against a source's columns, turns each frame into an items frame.

A frame goes through in stages, each one select over all values at once: the columns, then the first function of every
`apply`, then the second, and so on. Whether a stage or a check met a bad row is asked of the whole frame first; only
a frame that has one pays for finding out which.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl
import polars.selectors as cs

from etl.errors import SourceError
from etl.model import (
    FAULT,
    ORIGIN_FINGERPRINT,
    ORIGIN_POSITION,
    POSITION,
    Answers,
    Api,
    Call,
    Column,
    Constant,
    Mapping,
)
from etl.transform import checks, encode, ids, shapes
from etl.transform.checks import Check
from etl.transform.functions import FUNCTIONS, RAW_JSON, apply, meant_null
from etl.transform.operations import OPERATIONS
from etl.transform.repeats import Repeats

Gathered = MappingOf[tuple[str, int], Any]  # what a function knows of its whole column, by (target, place in `apply`)
Read = Callable[[Sequence[str]], Iterable[pl.DataFrame]]

_DIGEST = "_digest"
_ORIGIN = (pl.col(ORIGIN_FINGERPRINT), pl.col(ORIGIN_POSITION))


@dataclass(frozen=True, slots=True)
class Chain:
    """One value of the mapping that comes from columns: which (`attributes.plan`), whence, and through what.

    Several columns are one value at first: a struct of them, null where all of them are.
    """

    target: str
    sources: tuple[str, ...]
    calls: tuple[Call, ...]
    several: bool = False

    def first(self) -> pl.Expr:
        """The value as the source has it."""
        if not self.several:
            return _column(self.sources[0])
        fields = [_column(name).alias(name) for name in self.sources]
        return pl.when(pl.any_horizontal(field.is_not_null() for field in fields)).then(pl.struct(fields))

    def dtype(self, schema: pl.Schema) -> pl.DataType:
        """The type of `first`, of a source with this schema."""
        if not self.several:
            return schema[self.sources[0]]
        return pl.Struct([pl.Field(name, schema[name]) for name in self.sources])


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of all values on their way: the expressions, and with which reason each may turn a value into null.

    `meant` is true where a null that comes out is no failure, as of a JSON document without that key.
    """

    values: tuple[pl.Expr, ...]
    reasons: MappingOf[str, str]  # target -> reason
    meant: MappingOf[str, pl.Expr] = field(default_factory=dict)  # target -> Boolean, over the values before


@dataclass(frozen=True, slots=True)
class Mapped:
    """A frame of the source's rows, the values that the mapping made of those that `when` keeps, and all items.

    `values` has the row's POSITION and a column for every target of the mapping that comes from a column
    (`identifiers.id`, `attributes.plan`, `event`, `timestamp`), in the type in which it is sent: times are Unix
    seconds. Rejected rows are among them.
    """

    rows: pl.DataFrame
    values: pl.DataFrame
    items: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Compiled:
    """A mapping, ready for frames of one schema: `items` is all that there is to call."""

    file: str  # of the mapping
    columns: tuple[str, ...]  # what to read of the source
    when: pl.Expr | None
    first: tuple[pl.Expr, ...]  # every value as its column or constant gives it
    stages: tuple[Stage, ...]
    checks: tuple[Check, ...]
    checks_of_items: tuple[Check, ...]
    tree: encode.Node
    lane: pl.Expr
    repeats: Repeats | None = None  # rows that repeat another one's key: found by survey.py, when the mapping asks

    def items(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The items frame (model.ITEMS_SCHEMA) of a frame of the source's rows.

        Raises SourceError when `when` cannot be worked out for one of them.
        """
        return self.mapped(frame).items

    def mapped(self, frame: pl.DataFrame) -> Mapped:
        """The items of a frame, beside the values that they were made of. Raises as `items` does."""
        kept = frame if self.when is None else self._chosen(frame, self.when)
        values, items = self._mapped(kept)
        if kept.height < frame.height:
            skipped = frame.join(kept, on=POSITION, how="anti").select(pl.col(POSITION).alias("position"))
            all_rows = pl.concat([items, skipped], how="diagonal").with_columns(pl.col("lane").fill_null(0))
            items = all_rows.sort("position")
        return Mapped(frame, values, items if self.repeats is None else self.repeats.applied(items))

    def unchecked(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The values of those rows that can be read and `when` keeps; null: a value is missing, or cannot be made."""
        readable = frame.filter(pl.col(FAULT).is_null()) if frame[FAULT].null_count() < frame.height else frame
        values = (readable if self.when is None else self._chosen(readable, self.when)).select(self.first)
        for stage in self.stages:
            values = values.with_columns(stage.values)
        return values

    def _chosen(self, frame: pl.DataFrame, when: pl.Expr) -> pl.DataFrame:
        """The rows that `when` does not leave out; those with a fault are never left out."""
        try:
            return frame.filter(when.fill_null(False) | pl.col(FAULT).is_not_null())
        except pl.exceptions.PolarsError:  # its words quote values
            what = "it cannot be worked out for some row; write try_cast for cast, and such a row is skipped"
            raise SourceError(place=f"{self.file}: when", what=what) from None

    def _mapped(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        rejects = Rejects()
        if frame[FAULT].null_count() < frame.height:
            rejects.note(pl.col(FAULT), None, frame[FAULT].is_not_null(), frame)
        values = frame.select(self.first)
        for stage in self.stages:
            after = values.with_columns(stage.values)
            for target, reason in stage.reasons.items():
                if after[target].null_count() > values[target].null_count():
                    lost = after[target].is_null() & values[target].is_not_null()
                    if target in stage.meant:
                        lost &= ~values.select(stage.meant[target].fill_null(False)).to_series()
                    rejects.note(pl.lit(reason), target, lost, frame)
            values = after
        if _DIGEST in values.columns:
            values = values.hstack([ids.ulids(_seconds(values), values[_DIGEST]).alias(shapes.ULID)])
        (lane,) = rejects.check(values, self.checks, self.lane.alias("lane"))
        text = encode.items(values, self.tree)
        rejects.check(text.to_frame(), self.checks_of_items)
        return values, rejects.taken_out_of(pl.DataFrame([values[POSITION].alias("position"), lane, text]))


class Rejects:
    """The rows of one frame that cannot be sent: the first reason that was noted of each is its reason."""

    def __init__(self) -> None:
        self._reason: pl.Series | None = None
        self._field: pl.Series | None = None

    def check(self, values: pl.DataFrame, rules: Sequence[Check], *more: pl.Expr) -> list[pl.Series]:
        """Rejects the rows that break a rule; answers `more`, made on the way: each select costs what many would."""
        broken = [rule.broken.fill_null(False).alias(str(place)) for place, rule in enumerate(rules)]
        found = values.select(*broken, *more).get_columns()
        for rule, rows in zip(rules, found, strict=False):
            if rows.any():
                self.note(pl.lit(rule.reason), rule.field, rows, values)
        return found[len(rules) :]

    def note(self, reason: pl.Expr, field: str | None, rows: pl.Series, frame: pl.DataFrame) -> None:
        """Rejects `rows` (Boolean) for `reason`, an expression over the frame, in `field`."""
        here = frame.select(
            pl.when(rows).then(reason).alias("reason"),
            pl.when(rows).then(pl.lit(field, dtype=pl.String)).alias("field"),
        )
        if self._reason is None or self._field is None:
            self._reason, self._field = here["reason"], here["field"]
        else:
            first = self._reason.is_null()
            self._field = here["field"].zip_with(first, self._field)
            self._reason = here["reason"].zip_with(first, self._reason)

    def taken_out_of(self, items: pl.DataFrame) -> pl.DataFrame:
        """The items frame: rejected rows lose their item and get reason and field."""
        if self._reason is None or self._field is None:
            none = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, items.height)
            return items.hstack([none, none.alias("field")])
        sent = pl.when(self._reason.is_null()).then(pl.col("item")).alias("item")
        return items.with_columns(sent, self._reason.alias("reason"), self._field.alias("field"))


# ---------------------------------------------------------------- before the first row


def gather(
    mapping: Mapping,
    schema: pl.Schema,
    read: Read,
    noted: dict[str, list[MappingOf[str, Any]]] | None = None,
    of_all: Answers | None = None,
) -> Gathered:
    """What the mapping's functions must know of their whole columns before any row is mapped, such as an epoch's unit.

    `read` gives the source's frames with the columns asked for; it is not called when nothing must be known. The
    answers are written into `noted`. `of_all` are those of the source's rows when `read` gives only some of these: both
    count. Raises SourceError when a column is missing, or cannot be read without more words in the YAML.
    """
    require_columns(mapping, schema)
    known: dict[tuple[str, int], Any] = {}
    while questions := list(_questions(mapping, schema, known)):
        asked = {
            f"{n}.{name}": query for n, question in enumerate(questions) for name, query in question.queries.items()
        }
        columns = list(dict.fromkeys(name for question in questions for name in question.chain.sources))
        answers = [frame.select(**asked).row(0, named=True) for frame in read(columns)] if asked else []
        for n, question in enumerate(questions):
            rows: list[MappingOf[str, Any]] = [
                {name: answer[f"{n}.{name}"] for name in question.queries} for answer in answers
            ]
            if noted is not None and question.queries:
                noted[question.digest] = rows
            if of_all is not None and question.queries:
                rows = [*question.answered(mapping.file, of_all), *rows]
            known[question.chain.target, question.place] = question.answer(mapping.file, rows)
    return known


@dataclass(frozen=True, slots=True)
class Question:
    """What one function of a chain wants to know of its column, as aggregations of a frame."""

    chain: Chain
    place: int
    dtype: pl.DataType
    queries: MappingOf[str, pl.Expr]

    @property
    def digest(self) -> str:
        """What is asked, whatever it is asked for."""
        asked = {name: str(query) for name, query in sorted(self.queries.items())}
        after = repr(self.chain.calls[: self.place])
        return hashlib.sha256(json.dumps([asked, after]).encode()).hexdigest()

    def answered(self, file: str, of_all: Answers) -> Sequence[MappingOf[str, Any]]:
        """What all rows of the source have answered. Raises SourceError when it is not known."""
        if self.digest in of_all:
            return of_all[self.digest]
        call = self.chain.calls[self.place]
        gathering = FUNCTIONS[call.name].evidence
        if gathering is None or any(call.arguments.get(name, "auto") != "auto" for name in gathering.said_by):
            return ()
        what = "tells from the whole column how to read it, and only some rows are here; write it, as `unit:`"
        raise _unfit(file, self.chain, ValueError(f"{call.name}: {what}"))

    def answer(self, file: str, rows: list[MappingOf[str, Any]]) -> Any:
        call = self.chain.calls[self.place]
        gathering = FUNCTIONS[call.name].evidence
        assert gathering is not None
        try:
            return gathering.combine(rows, self.dtype, call)
        except ValueError as error:
            raise _unfit(file, self.chain, error) from None


def _questions(mapping: Mapping, schema: pl.Schema, known: Gathered) -> Iterator[Question]:
    """The first unanswered question of each chain: what comes after it hangs on the answer."""
    for chain in chains(mapping):
        value, dtype = chain.first(), chain.dtype(schema)
        for place, call in enumerate(chain.calls):
            gathering = FUNCTIONS[call.name].evidence
            if gathering is not None and (chain.target, place) not in known:
                yield Question(chain, place, dtype, gathering.queries(value, dtype, call))
                break
            value, dtype = _applied(mapping.file, chain, place, value, dtype, known, schema)


def compile_mapping(
    mapping: Mapping,
    schema: pl.Schema,
    known: Gathered,
    fingerprint: str | None,
    lanes: int,
    api: Api = "track",
    run_id: str = "",
) -> Compiled:
    """The mapping, ready for frames of `schema`, in the light of what `gather` found; its items are for this API.

    `fingerprint` is the snapshot's: with the row's position it is the key of an event that has no `event_key`. None:
    each row says of itself whence it was. Raises SourceError when the columns don't fit the mapping: before anything is
    sent.
    """
    require_columns(mapping, schema)
    operation = OPERATIONS[mapping.operation]
    made = chains(mapping)
    types = {chain.target: chain.dtype(schema) for chain in made}
    stages = []
    for place in range(max((len(chain.calls) for chain in made), default=0)):
        values, reasons, meant = [], {}, {}
        for chain in (chain for chain in made if place < len(chain.calls)):
            before = pl.Schema({chain.target: types[chain.target]})
            value, dtype = _applied(
                mapping.file, chain, place, pl.col(chain.target), types[chain.target], known, before
            )
            values.append(value.alias(chain.target))
            if (nulls := meant_null(pl.col(chain.target), types[chain.target], chain.calls[place])) is not None:
                meant[chain.target] = nulls
            types[chain.target], reasons[chain.target] = dtype, FUNCTIONS[chain.calls[place].name].reason
        stages.append(Stage(tuple(values), reasons, meant))
    settled, verbatim = [], set()
    for chain in made:
        if _is_json(chain, types[chain.target]):
            verbatim.add(chain.target)
        value, types[chain.target] = _settled(mapping, chain, types[chain.target])
        if not value.meta.is_column():
            settled.append(value.alias(chain.target))
    if settled:
        stages.append(Stage(tuple(settled), {}))
    if named := list(_names_of_items(mapping, fingerprint, operation.has_event, api, run_id)):
        stages.append(Stage(tuple(named), {}))
    rules = checks.rules(mapping, types, {chain.target for chain in made if is_date(chain, schema)}, api)
    return Compiled(
        file=mapping.file,
        columns=checks.columns_of(mapping),
        when=None if mapping.when is None else _condition(mapping.file, mapping.when, schema),
        first=(*_first(mapping, made, schema), *(_ORIGIN if fingerprint is None else ())),
        stages=tuple(stages),
        checks=tuple(rules),
        checks_of_items=tuple(checks.of_items(pl.col("item"))),
        tree=shapes.tree(mapping, api, frozenset(verbatim)),
        lane=_lane(mapping, lanes),
    )


def with_json(mapping: Mapping, columns: frozenset[str]) -> Mapping:
    """The mapping, with `json` applied to attributes from columns of which the source says that they are JSON.

    Not where a function other than `default` is to make something of the text.
    """
    made = {
        name: Column(value.name, (Call("json"), *value.apply))
        if isinstance(value, Column) and value.name in columns and {call.name for call in value.apply} <= {"default"}
        else value
        for name, value in mapping.attributes.items()
    }
    return replace(mapping, attributes=made) if columns else mapping


def chains(mapping: Mapping) -> list[Chain]:
    """Every value of the mapping that comes from columns, under its target's name."""
    return [
        Chain(target, (value.name,), value.apply)
        if isinstance(value, Column)
        else Chain(target, value.names, value.apply, several=True)
        for target, value in mapping.values().items()
        if not isinstance(value, Constant)
    ]


def require_columns(mapping: Mapping, schema: pl.Schema) -> None:
    """Raises SourceError when the mapping reads a column that the source has not."""
    missing = [name for name in checks.columns_of(mapping) if name not in schema]
    if missing:
        has = ", ".join(repr(name) for name in schema)
        what = f"the source has no column {', '.join(repr(name) for name in missing)}; it has {has}"
        raise SourceError("mend the mapping, or the source", place=mapping.file, what=what)


def _column(name: str) -> pl.Expr:
    """The source's column of just this name, where pl.col takes `*` and `^…$` for patterns."""
    return cs.by_name(name).as_expr()


def _condition(file: str, sql: str, schema: pl.Schema) -> pl.Expr:
    """`when` as an expression, tried on a row of nulls: is it true or false of columns of these types?"""
    condition = pl.sql_expr(sql)
    try:
        dtype = pl.DataFrame(schema=schema).clear(1).select(condition).dtypes[0]
    except pl.exceptions.PolarsError:
        what = "it does not fit the columns' types; CSV columns are text: quantity = '7', try_cast(quantity as int) > 5"
        raise SourceError(place=f"{file}: when", what=what) from None
    if dtype not in (pl.Boolean, pl.Null):
        raise SourceError(place=f"{file}: when", what=f"it is {dtype}, and must be true or false")
    return condition


def _first(mapping: Mapping, made: Sequence[Chain], schema: pl.Schema) -> Iterator[pl.Expr]:
    """The row's position, every value under its target's name, and the parts of the event's key."""
    yield pl.col(POSITION)
    for chain in made:
        yield chain.first().alias(chain.target)
    for target, constant in _constants(mapping).items():
        yield pl.lit(constant).alias(target)
    for place, column in enumerate(mapping.event_key):
        if (dtype := schema[column]).is_nested() or dtype in (pl.Binary, pl.Object, pl.Duration):
            what = f"column {column!r}: it is {dtype}, and a key is text, numbers or dates"
            raise SourceError(place=f"{mapping.file}: event_key", what=what)
        text = _column(column).cast(pl.String)
        if isinstance(dtype, pl.Decimal):  # how many zeros follow the point depends on the other rows
            text = pl.when(text.str.contains(".", literal=True)).then(text.str.strip_chars_end("0")).otherwise(text)
            text = text.str.strip_suffix(".")
        yield pl.when(text != "").then(text).alias(f"_key.{place}")  # an empty key would make one event of many


def _constants(mapping: Mapping) -> dict[str, object]:
    """Constants that go where a column could: who or what it is about, the event's name, the time. Others are text."""
    constants: dict[str, object] = {}
    for target, value in mapping.values().items():
        if isinstance(value, Constant) and target.split(".")[0] in _WHO:
            constants[target] = str(value.value)  # an id may be written as a number
        elif isinstance(value, Constant) and target in ("event", "timestamp"):
            constants[target] = value.value
    return constants


_WHO = ("identifiers", "object", "primary", "secondary")


def _applied(
    file: str, chain: Chain, place: int, value: pl.Expr, dtype: pl.DataType, known: Gathered, schema: pl.Schema
) -> tuple[pl.Expr, pl.DataType]:
    """`value`, an expression of this type over `schema`, after the chain's function at `place`; and its type then."""
    try:
        made = apply(value, dtype, chain.calls[place], known.get((chain.target, place)))
    except ValueError as error:
        raise _unfit(file, chain, error) from None
    return made, pl.LazyFrame(schema=schema).select(made.alias("made")).collect_schema()["made"]


def _settled(mapping: Mapping, chain: Chain, dtype: pl.DataType) -> tuple[pl.Expr, pl.DataType]:
    """A value in the type in which it is sent."""
    value = pl.col(chain.target)
    if checks.is_name(chain.target):
        if not (dtype == pl.String or dtype.is_integer() or isinstance(dtype, (pl.Categorical, pl.Enum))):
            raise _unfit(mapping.file, chain, ValueError(f"it is {dtype}, and must be text or whole numbers"))
        if dtype.is_integer() and _is_number(chain):
            return value, dtype
        return value if dtype == pl.String else value.cast(pl.String), pl.String()
    if chain.target.startswith("device.attributes."):  # Track v2 reference: they are texts
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
            raise _unfit(mapping.file, chain, ValueError(f"it is {dtype}, and a device's attributes are texts"))
        return value.cast(pl.String), pl.String()
    if chain.target.startswith("topics.") and dtype not in (pl.Boolean, pl.Null):
        raise _unfit(mapping.file, chain, ValueError("it must be true or false: put `apply: [{cast: boolean}]`"))
    if _is_json(chain, dtype):
        return value.struct.field("raw_json"), pl.String()
    if chain.target in _TIMES and not _is_time(dtype):
        raise _unfit(mapping.file, chain, ValueError("it must be Unix seconds: put `apply: [timestamp]`"))
    if isinstance(dtype, pl.Decimal):
        return value, dtype  # written digit by digit
    try:
        made = encode.settle(value, dtype)
    except ValueError as error:
        raise _unfit(mapping.file, chain, error) from None
    after = pl.LazyFrame(schema={chain.target: dtype}).select(made.alias(chain.target)).collect_schema()
    return made, after[chain.target]


_TIMES = ("timestamp", "attributes.created_at", "device.last_used")


def _is_number(chain: Chain) -> bool:
    """Whether an identifier is meant to be a number: the mapping says so, or it is text."""
    return bool(chain.calls) and chain.calls[-1] == Call("cast", {"to": "integer"}) and "." in chain.target


def _is_time(dtype: pl.DataType) -> bool:
    """Whether such a column says Unix seconds: whole ones, or dates, of which they are made."""
    return dtype.is_integer() or isinstance(dtype, (pl.Date, pl.Datetime))


def _is_json(chain: Chain, dtype: pl.DataType) -> bool:
    """Whether the value is JSON text made by `json`; a source's own struct may look the same."""
    return dtype == RAW_JSON and any(call.name == "json" for call in chain.calls)


def is_date(chain: Chain, schema: pl.Schema) -> bool:
    """Whether the chain's value is a time in Unix seconds: by its function, its type, or its name."""
    typed = isinstance(chain.dtype(schema), (pl.Date, pl.Datetime)) and not chain.calls
    return typed or chain.target in _TIMES or any(call.name == "timestamp" for call in chain.calls)


def _digest(mapping: Mapping, fingerprint: str | None) -> pl.Expr:
    """What an event's id is made of: its name and key; without a key, the snapshot and the row's place in it."""
    name: pl.Expr | str = pl.col("event")
    if isinstance(mapping.event, Constant) and isinstance(mapping.event.value, str):
        name = mapping.event.value
    if mapping.event_key:
        return ids.key_digest(name, [pl.col(f"_key.{place}") for place in range(len(mapping.event_key))])
    return ids.key_digest(name, _place(fingerprint))


def _place(fingerprint: str | None) -> list[pl.Expr]:
    """The snapshot and the row's place in it; None: those in which the row was at first."""
    if fingerprint is None:
        return [pl.col(ORIGIN_FINGERPRINT), pl.col(ORIGIN_POSITION).cast(pl.String)]
    return [pl.lit(fingerprint), pl.col(POSITION).cast(pl.String)]


def _names_of_items(
    mapping: Mapping, fingerprint: str | None, has_event: bool, api: Api, run_id: str
) -> Iterator[pl.Expr]:
    """What an event's id, a message's id and a time of the Pipelines API are made of or are."""
    if has_event:
        yield _digest(mapping, fingerprint).alias(_DIGEST)
    elif api == "pipelines":  # what a run sends twice has one id; the next run must not be taken for a repetition
        place = [pl.lit(run_id), pl.lit(mapping.digest), *_place(fingerprint)]
        yield ids.key_digest(mapping.operation, place).alias(shapes.MESSAGE_ID)
    if api == "pipelines" and mapping.timestamp is not None:
        seconds = pl.when(pl.col("timestamp").is_between(0, checks.LATEST_S)).then(pl.col("timestamp"))
        yield pl.from_epoch(seconds, time_unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias(shapes.ISO)


def _lane(mapping: Mapping, lanes: int) -> pl.Expr:
    """The lane of the person or object that a row is about; of a merge, of the person who stays."""
    if who := mapping.identifiers or mapping.primary:
        kind = next(iter(who))
        part = "identifiers" if mapping.identifiers else "primary"
        return ids.lane(pl.col(f"{part}.{kind}").cast(pl.String), kind, lanes)
    return ids.lane(
        pl.concat_str([pl.col(f"object.{name}") for name in mapping.object], separator="/"), "object", lanes
    )


def _seconds(values: pl.DataFrame) -> pl.Series:
    """The times of a frame's events, for their ids; 0 where the mapping has none."""
    return values["timestamp"] if "timestamp" in values.columns else pl.repeat(0, values.height, eager=True)


def _unfit(file: str, chain: Chain, error: ValueError) -> SourceError:
    return SourceError(place=f"{file}: {chain.target}", what=f"{_named(chain)}: {error}")


def _named(chain: Chain) -> str:
    names = ", ".join(repr(name) for name in chain.sources)
    return f"columns {names}" if chain.several else f"column {names}"
