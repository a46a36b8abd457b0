"""Compiling a mapping against a source's columns. The result turns each frame of rows into an items frame.

A mapping is compiled once, before the first row: faults of the mapping or of the columns are reported then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from collections.abc import Set as AbstractSet

import polars as pl

from cio_etl.apis import APIS, DEFAULT_API, OPERATION, Payload, each_operation, of_operation
from cio_etl.errors import SourceError
from cio_etl.model import (
    ORIGIN_FINGERPRINT,
    ORIGIN_POSITION,
    POSITION,
    Call,
    Constant,
    Mapping,
)
from cio_etl.model.reasons import NOT_A_TEXT, NUMBER_NOT_FINITE, OPERATION_MISSING, TIMESTAMP_OUT_OF_RANGE
from cio_etl.transform import checks, decimals, encode, ids, payloads, row_sql, timestamps
from cio_etl.transform.chains import (
    Chain,
    KnownFacts,
    applied,
    chains,
    column_of,
    makes_time,
    require_columns,
    unfit,
)
from cio_etl.transform.checks import Check
from cio_etl.transform.compiled import DIGEST, Compiled, Stage
from cio_etl.transform.decimals import NUMBER
from cio_etl.transform.decisions import flag_names
from cio_etl.transform.functions import (
    FUNCTIONS,
    RAW_JSON,
    RAW_JSON_LIST,
    is_no_text,
    kind_of,
    meant_null,
    plain_text,
)
from cio_etl.transform.invisible import is_blank
from cio_etl.transform.nested import in_words, parts
from cio_etl.transform.odd_values import key_checks, no_text, odd_values, takes_text_only
from cio_etl.transform.parts import parts_of
from cio_etl.transform.repeats import key_text

_ORIGIN = (pl.col(ORIGIN_FINGERPRINT), pl.col(ORIGIN_POSITION))


def compile_mapping(
    mapping: Mapping,
    schema: pl.Schema,
    known: KnownFacts,
    fingerprint: str | None,
    lanes: int,
    api: str = DEFAULT_API,
    run_id: str = "",
) -> Compiled:
    """The mapping, ready for frames of `schema`, with the facts from `collect_facts`; its items are for this API.

    `fingerprint` is the snapshot's: with the row's position it is the key of an event that has no `event_key`. None:
    each row carries its own origin. Raises SourceError when the columns don't fit the mapping: before anything is
    sent.
    """
    require_columns(mapping, schema)
    main = of_operation(mapping, mapping.operation) if mapping.operations else mapping
    payload = APIS[api].payload(main)
    payloads_of = {each.operation: (each, APIS[api].payload(each)) for each in each_operation(mapping)}
    made = chains(mapping)
    types = {chain.target: chain.dtype(schema) for chain in made}
    stages = []
    for place in range(max((len(chain.calls) for chain in made), default=0)):
        values, reasons, meant = [], {}, {}
        at_place = [chain for chain in made if place < len(chain.calls)]
        if texts := list(_texts_only(at_place, place, types)):
            stages.append(Stage(tuple(texts), {value.meta.output_name(): NOT_A_TEXT for value in texts}))
        for chain in at_place:
            before = pl.Schema({chain.target: types[chain.target]})
            value, dtype = applied(chain, place, pl.col(chain.target), types[chain.target], known, before)
            values.append(value.alias(chain.target))
            if (nulls := meant_null(pl.col(chain.target), types[chain.target], chain.calls[place])) is not None:
                meant[chain.target] = nulls
            types[chain.target], reasons[chain.target] = dtype, FUNCTIONS[chain.calls[place].name].reason
        stages.append(Stage(tuple(values), reasons, meant))
        if texts := list(_only_texts(mapping, made, place, types, schema)):
            stages.append(Stage(tuple(texts), dict.fromkeys((text.meta.output_name() for text in texts), NOT_A_TEXT)))
    settled, verbatim, unsendable = [], set(), {}
    dates = {chain.target for chain in made if is_date(chain, schema) or _is_time(types[chain.target], typed=True)}
    for chain in made:
        if is_json := _is_json(chain, schema, types[chain.target]):
            if not takes_text_only(mapping, chain.target):
                verbatim.add(chain.target)
        elif (far := checks.date_inside(pl.col(chain.target), types[chain.target])) is not None:
            unsendable[chain.target] = (TIMESTAMP_OUT_OF_RANGE, far)
        elif chain.target.startswith("device.attributes.") and types[chain.target].is_float():  # sent as text
            unsendable[chain.target] = (NUMBER_NOT_FINITE, pl.col(chain.target).is_finite().not_())
        value, types[chain.target] = _settled(mapping, chain, types[chain.target], is_json)
        if chain.target in unsendable:
            value = pl.when(~unsendable[chain.target][1].fill_null(False)).then(value)
        if not value.meta.is_column():
            settled.append(value.alias(chain.target))
    if settled:
        stages.append(Stage(tuple(settled), {target: reason for target, (reason, _) in unsendable.items()}))
    if alternatives := mapping.alternatives:
        stages.append(Stage(tuple(_first_that_is_there(alternatives)), {}))
    made_parts = {part for _, each in payloads_of.values() for part in each.members.values()}
    if named := list(_ids_of_items(mapping, fingerprint, made_parts, run_id)):
        stages.append(Stage(tuple(named), {}))
    rules = [rule for each, taken in payloads_of.values() for rule in _checks(mapping, each, types, dates, taken)]
    odd = tuple(odd_values(mapping, schema))
    tree = payloads.tree(main, payload, frozenset(verbatim))
    made_of = parts_of(main, payloads.nodes_of(main, payload, frozenset(verbatim)))
    trees = {name: payloads.tree(each, taken, frozenset(verbatim)) for name, (each, taken) in payloads_of.items()}
    return Compiled(
        place_of_when=mapping.place_of("when"),
        columns=checks.columns_of(mapping),
        when=None if mapping.when is None else row_condition(mapping.place_of("when"), mapping.when, schema),
        odd_values=odd,
        first=(*_first(mapping, made, schema, odd), *(_ORIGIN if fingerprint is None else ())),
        stages=tuple(stages),
        checks=tuple(rules),
        checks_of_items=tuple(checks.item_checks(pl.col("item"))),
        tree=tree,
        lane=_lane(mapping, lanes),
        parts=made_of,
        on_error=frozenset(mapping.on_error),
        needed=_needed(mapping),
        trees=trees if mapping.operations else {},
        partial=payloads.partial(tree, mapping, flag_names(tuple(made_of.of))) if payload.divisible else None,
    )


def _checks(
    mapping: Mapping, each: Mapping, types: MappingOf[str, pl.DataType], dates: set[str], payload: Payload
) -> Iterator[Check]:
    """The checks of a mapping; of change records, those of one operation, for the rows that have it."""
    of_each = {target: dtype for target, dtype in types.items() if target in each.targets}
    rules = checks.row_checks(each, of_each, dates & of_each.keys(), payload)
    if not mapping.operations:
        yield from rules
        return
    if each.operation == mapping.operations[0]:
        yield Check(OPERATION_MISSING, OPERATION, pl.col(OPERATION).is_null())
    for rule in rules:
        yield Check(rule.reason, rule.field, rule.broken & (pl.col(OPERATION) == each.operation))


def _needed(mapping: Mapping) -> dict[str, pl.Expr]:
    """Whether a row needs a value, for the targets that some rows do not need."""
    needed = {
        target: pl.all_horizontal(pl.col(earlier).is_null() for earlier in mapping.alternatives[:place])
        for place, target in enumerate(mapping.alternatives)
        if place
    }
    taking = {each.operation: each.targets.keys() for each in each_operation(mapping)}
    for target in mapping.targets if mapping.operations else ():
        names = [name for name, targets in taking.items() if target in targets]
        if target != OPERATION and len(names) < len(taking):
            needed[target] = pl.col(OPERATION).is_in(names)
    return needed


def _first_that_is_there(alternatives: Sequence[str]) -> Iterator[pl.Expr]:
    """The first of the identifiers that a row has; the others are null. A blank one is not there."""
    there = [is_blank(pl.col(target).cast(pl.String)).not_() for target in alternatives]  # null of a null
    for place, target in enumerate(alternatives):
        earlier = [each.fill_null(False) for each in there[:place]]
        is_first = pl.all_horizontal(there[place], *(each.not_() for each in earlier))
        yield pl.when(is_first).then(pl.col(target)).alias(target)


def _texts_only(made: Sequence[Chain], place: int, types: dict[str, pl.DataType]) -> Iterator[pl.Expr]:
    """The values of JSON that the functions at a place read as text, null where they are lists or objects."""
    for chain in made:
        value = pl.col(chain.target)
        if (no_text := is_no_text(value, types[chain.target], chain.calls[place])) is not None:
            yield pl.when(~no_text).then(value).alias(chain.target)


def row_condition(place: str, sql: str, schema: pl.Schema) -> pl.Expr:
    """A condition as an expression, tried on a row of nulls: is it true or false of columns of these types?

    Raises SourceError, with this place, when it is not.
    """
    try:
        dtype = row_sql.condition_type(sql, schema)
    except ValueError as error:
        raise SourceError(place=place, what=str(error)) from None
    if dtype not in (pl.Boolean, pl.Null):
        raise SourceError(place=place, what=f"it makes {in_words(dtype)}, and must be true or false")
    names = row_sql.columns_of(sql)
    if not row_sql.may_wrap(sql) and not any(schema[name] == pl.Null for name in names):
        return row_sql.sql_expr(sql)
    columns = pl.struct(column_of(name) for name in names)
    return columns.map_batches(lambda rows: row_sql.condition(sql, rows.struct.unnest()), return_dtype=pl.Boolean)


def _first(mapping: Mapping, made: Sequence[Chain], schema: pl.Schema, odd: Sequence[Check]) -> Iterator[pl.Expr]:
    """The row's position, every value under its target's name, and the parts of the event's key; odd ones are null."""
    yield pl.col(POSITION)
    for chain in made:
        of_chain = [check for check in odd if check.field == chain.target]
        yield _unless(of_chain, chain.first()).alias(chain.target)
    for target, constant in _constants(mapping).items():
        yield pl.lit(constant).alias(target)
    for place, column in enumerate(mapping.event_key):
        if (dtype := schema[column]).is_nested() or dtype in (pl.Binary, pl.Object, pl.Duration):
            what = f"column {column!r}: it holds {in_words(dtype)}, and a key is text, numbers or dates"
            raise SourceError(place=mapping.place_of("event_key"), what=what)
        source = column_of(column)
        if isinstance(dtype, pl.Date | pl.Datetime):
            source = timestamps.in_calendar(source, dtype)
        text = source.cast(pl.String)
        if isinstance(dtype, pl.Decimal):  # how many zeros follow the point depends on the other rows
            text = pl.when(text.str.contains(".", literal=True)).then(text.str.strip_chars_end("0")).otherwise(text)
            text = text.str.strip_suffix(".")
        text = _unless(list(key_checks(column, schema)), text)
        if not dtype.is_integer():  # an empty key would make one event of many
            text = pl.when(text != "").then(text)
        yield text.alias(f"_key.{place}")


def _unless(odd: Sequence[Check], value: pl.Expr) -> pl.Expr:
    return (
        pl.when(pl.any_horizontal(check.broken.fill_null(False) for check in odd).not_()).then(value) if odd else value
    )


def _only_texts(
    mapping: Mapping, made: Sequence[Chain], place: int, types: MappingOf[str, pl.DataType], schema: pl.Schema
) -> Iterator[pl.Expr]:
    """The values that `json` or `pick` made at this place and that are read as text next, without those of no text."""
    for chain in made:
        later = chain.calls[place + 1 :]
        if (
            len(chain.calls) <= place
            or types[chain.target] != RAW_JSON
            or (later and later[0].name in ("json", "pick"))
        ):
            continue
        if takes_text_only(mapping, chain.target) and _is_json(chain, schema, RAW_JSON):
            value = pl.col(chain.target)
            broken = no_text(value.struct.field("raw_json"), chain.target, later)
            yield pl.when(broken.not_()).then(value).alias(chain.target)


def _constants(mapping: Mapping) -> dict[str, object]:
    """Constants that go where a column could: who or what it is about, the event's name, the time. Others are text."""
    constants: dict[str, object] = {}
    for target, value in mapping.targets.items():
        if isinstance(value, Constant) and target.split(".")[0] in _WHO:
            constants[target] = str(value.value)  # an id may be written as a number
        elif isinstance(value, Constant) and target in ("event", "timestamp"):
            constants[target] = value.value
    return constants


_WHO = ("identifiers", "object", "primary", "secondary")


def _settled(mapping: Mapping, chain: Chain, dtype: pl.DataType, is_json: bool) -> tuple[pl.Expr, pl.DataType]:
    """A value in the type in which it is sent; `is_json`: it is JSON text."""
    value = pl.col(chain.target)
    if is_json and dtype == RAW_JSON and takes_text_only(mapping, chain.target):
        return plain_text(value), pl.String()
    if checks.is_name(chain.target):
        if dtype.is_integer() and _is_number(chain):
            return value, dtype
        if isinstance(dtype, pl.String) or dtype.is_integer() or isinstance(dtype, _NAMES):
            return value if dtype == pl.String else value.cast(pl.String), pl.String()
        advice = ": put `apply: [{cast: text}]`" if kind_of(dtype) in ("a number", "true or false", "a date") else ""
        advice = ": put `apply: [decode]`" if kind_of(dtype) == "bytes" else advice
        what = f"it holds {in_words(dtype)}, and must be text or whole numbers{advice}"
        raise unfit(chain, ValueError(what))
    if chain.target.startswith("device.attributes."):  # Track v2 reference: they are texts
        if dtype == NUMBER:
            return decimals.text_of(value), pl.String()
        if dtype.is_nested():
            raise unfit(chain, ValueError(f"it holds {in_words(dtype)}, and a device's attributes are texts"))
        try:
            return encode.settle(value, dtype).cast(pl.String), pl.String()
        except ValueError as error:
            raise unfit(chain, error) from None
    is_number = dtype.is_integer() and chain.target == "attributes.phone"
    if takes_text_only(mapping, chain.target) and not (isinstance(dtype, (pl.String, *_NAMES)) or is_number):
        raise unfit(chain, ValueError(f"it holds {in_words(dtype)}, and must be text"))
    if chain.target.startswith("topics.") and dtype not in (pl.Boolean, pl.Null):
        raise unfit(chain, ValueError("it must be true or false: put `apply: [{cast: boolean}]`"))
    if chain.target in _TIMES and dtype == pl.Null:
        return value.cast(pl.Int64), pl.Int64()
    if chain.target in _TIMES and not _is_time(dtype):
        raise unfit(chain, ValueError("it must be Unix seconds: put `apply: [timestamp]`"))
    if is_json and dtype == RAW_JSON:
        return value.struct.field("raw_json"), pl.String()
    if is_json:
        elements = value.list.eval(pl.element().struct.field("raw_json").fill_null("null"))
        return pl.format("[{}]", elements.list.join(",")), pl.String()
    try:
        made = encode.settle(value, dtype)
    except ValueError as error:
        raise unfit(chain, error) from None
    after = pl.LazyFrame(schema={chain.target: dtype}).select(made.alias(chain.target)).collect_schema()
    return made, after[chain.target]


_NAMES = (pl.Categorical, pl.Enum, pl.Null)  # types that become text, besides whole numbers
_TIMES = ("timestamp", "attributes.created_at", "device.last_used")


def _is_number(chain: Chain) -> bool:
    """Whether an identifier is meant to be a number: the mapping says so, or it is text."""
    return bool(chain.calls) and chain.calls[-1] == Call("cast", {"to": "integer"}) and "." in chain.target


def _is_time(dtype: pl.DataType, *, typed: bool = False) -> bool:
    """Whether such a column says Unix seconds: whole ones, or dates, of which they are made; `typed`: dates only."""
    return (dtype.is_integer() and not typed) or isinstance(dtype, pl.Date | pl.Datetime)


def _is_json(chain: Chain, schema: pl.Schema, dtype: pl.DataType) -> bool:
    """Whether the value is JSON text made by `json` or `pick`; a source's own struct may look the same."""
    if dtype not in (RAW_JSON, RAW_JSON_LIST):
        return False
    own = any(part.dtype == RAW_JSON for part in parts(chain.dtype(schema)))
    return any(call.name in ("json", "build") or (call.name == "pick" and not own) for call in chain.calls)


def is_date(chain: Chain, schema: pl.Schema) -> bool:
    """Whether the chain's value is a time in Unix seconds: by its function, its type, or its name."""
    typed = isinstance(chain.dtype(schema), (pl.Date, pl.Datetime)) and not chain.calls
    return typed or chain.target in _TIMES or makes_time(chain)


def _digest(mapping: Mapping, fingerprint: str | None) -> pl.Expr:
    """What an event's id is made of: its own id, or its name and key; else the snapshot and the row's place in it."""
    if payloads.OWN_ID in mapping.targets:
        return ids.own_digest(pl.col(payloads.OWN_ID))
    name: pl.Expr | str = pl.col("event")
    event = mapping.targets.get("event")
    if isinstance(event, Constant) and isinstance(event.value, str):
        name = event.value
    if mapping.event_key:
        return ids.key_digest(name, [pl.col(f"_key.{place}") for place in range(len(mapping.event_key))])
    return ids.key_digest(name, _place(fingerprint))


def _place(fingerprint: str | None) -> list[pl.Expr]:
    """The snapshot and the row's place in it; None: those in which the row was at first."""
    if fingerprint is None:
        return [pl.col(ORIGIN_FINGERPRINT), pl.col(ORIGIN_POSITION).cast(pl.String)]
    return [pl.lit(fingerprint), pl.col(POSITION).cast(pl.String)]


def _ids_of_items(mapping: Mapping, fingerprint: str | None, parts: AbstractSet[str], run_id: str) -> Iterator[pl.Expr]:
    """The columns from which the ids of events and of messages are made, and times in ISO form, if `parts` has them."""
    if parts & {"event_id", "event_message_id"}:
        yield _digest(mapping, fingerprint).alias(DIGEST)
    if "message_id" in parts:  # what a run sends twice has one id; the next run must not be taken for a repetition
        place = [pl.lit(run_id), pl.lit(mapping.digest), *_place(fingerprint)]
        yield ids.key_digest(mapping.operation, place).alias(payloads.MESSAGE_ID)
    if "timestamp_iso" in parts and "timestamp" in mapping.targets:
        seconds = pl.when(pl.col("timestamp").is_between(0, checks.LATEST_S)).then(pl.col("timestamp"))
        yield pl.from_epoch(seconds, time_unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias(payloads.ISO)
    if "user_id" in parts and "identifiers.id" in mapping.alternatives:
        yield pl.col("identifiers.id").cast(pl.String).fill_null("").alias(payloads.USER)


def _lane(mapping: Mapping, lanes: int) -> pl.Expr:
    """The lane of the person or object that a row is about; of a merge, of the person who stays."""
    if mapping.alternatives:
        return ids.lane(pl.coalesce(key_text(target) for target in mapping.alternatives), "", lanes)
    for target in mapping.targets:
        part, _, kind = target.partition(".")
        if part in ("identifiers", "primary"):
            return ids.lane(pl.col(target).cast(pl.String), kind, lanes)
    names = [pl.col(f"object.{name}") for name in mapping.part("object")]
    return ids.lane(pl.concat_str(names, separator="/"), "object", lanes)
