"""An item's text is exactly the JSON of its row, for every type."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.errors import SourceError
from cio_etl.model import Column, Constant
from cio_etl.transform.encode import _BLOCK_BYTES, literal
from tests.mapped_rows import attributes, column, mapped, mapping, outcomes, rows, sent, texts

ONE = mapping(attributes=attributes(a="a"))
CLEAR = mapping(attributes=attributes(a="a"), nulls="clear")
START = '{"type":"person","action":"identify","identifiers":{"id":"0"},"attributes":'


def written(values: Iterable[Any], dtype: Any = None) -> list[str | None]:
    """The JSON text of each value, as an attribute in a frame by itself: null when it was left out."""
    return [_alone(pl.Series([value], dtype=dtype)) for value in values]


def _alone(value: pl.Series) -> str | None:
    (text,) = texts(ONE, rows({"a": value}))
    assert text is not None and text.startswith(START)
    inside = text.removeprefix(START).removesuffix("}")
    return None if inside == "{}" else inside.removeprefix('{"a":').removesuffix("}")


# ---------------------------------------------------------------- text

HOSTILE = [
    *map(chr, range(0x20)),
    *('"', "\\", '\\"', "/", "\x7f", "\x80", "\u2028\u2029", "\ufeff", "\ufffe", "</script>", "\\u0041", "{}", "null"),
    *("é", "e\u0301", "漢字", "😀", "👩‍👩‍👧", "\U0010ffff", "\u202eabc", "", " ", '},{"x":1', ","),
]


@pytest.mark.fault("S7")
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_text_is_escaped_byte_for_byte_as_python_does(text: str) -> None:
    expected = json.dumps(text, ensure_ascii=False)
    assert written([text]) == [expected]
    (*_, last) = texts(ONE, rows({"a": [text] * 101}))  # numpy looks through more than 100
    assert last == START.replace('"0"', '"100"') + '{"a":' + expected + "}}"


@given(st.lists(st.none() | st.text() | st.sampled_from(HOSTILE), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_text_is_python_s_text_beside_any_other(values: list[str | None]) -> None:
    made = texts(
        mapping(attributes=attributes(a="a", b="b")),
        rows({"a": pl.Series(values, dtype=pl.String), "b": ["x"] * len(values)}),
    )
    for place, (text, value) in enumerate(zip(made, values, strict=True)):
        assert text is not None
        members = [] if value is None else [f'"a":{json.dumps(value, ensure_ascii=False)}']
        start = START.replace('"0"', f'"{place}"')
        assert text in {f"{start}{{{','.join(order)}}}}}" for order in ([*members, '"b":"x"'], ['"b":"x"', *members])}
        assert orjson.loads(text) == json.loads(text)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_constant_that_json_cannot_express_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        literal([number])


@pytest.mark.parametrize("place", [0, 11_999, 23_999])
def test_one_quote_in_a_large_frame_is_escaped_wherever_it_is(place: int) -> None:
    values: list[str | None] = ["sixty characters " + "." * 43, "é", None, ""] * 6_000
    assert sum(len(value or "") for value in values) > _BLOCK_BYTES
    values[place] = 'a "quoted" word'
    made = [attributes.get("a") for attributes in sent(ONE, rows({"a": values}))]
    assert made == values


@given(st.text(min_size=1, max_size=20).filter(str.strip), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_name_is_a_name(name: str, nullable: bool, of_a_constant: bool) -> None:
    names = {name: Constant(7) if of_a_constant else Column("a")}
    made = texts(mapping(attributes=names), rows({"a": [7, None] if nullable else [7, 7]}))[0]
    assert made == f"{START}{{{json.dumps(name, ensure_ascii=False)}:7}}}}"


@pytest.mark.parametrize("name", ['"', "\\", "}", "{", '{"', "}}", '":1,"', "\n", "*", "^x$", "^.*$", "é", ",", ":"])
def test_names_that_look_like_json_or_like_patterns_are_names(name: str) -> None:
    data = {"x": [1, 2], name: ["a", None], "s": [{name: 1.5, "x": 2}, None]}
    how = mapping(attributes={name: Column(name), "s": Column("s"), "x": Column("x")})
    assert sent(how, rows(data)) == [{name: "a", "s": {name: 1.5, "x": 2}, "x": 1}, {"x": 2}]


# ---------------------------------------------------------------- numbers and true or false


@pytest.mark.fault("S13")
@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.Int8, [-128, 127]),
        (pl.Int64, [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 0]),
        (pl.UInt64, [2**64 - 1, 2**63]),
        (pl.Int128, [2**127 - 1, -(2**127), 2**64]),
        (pl.UInt128, [2**128 - 1]),
    ],
)
def test_integers_are_written_to_the_last_digit(dtype: Any, values: list[int]) -> None:
    assert written(values, dtype) == [str(value) for value in values]
    nested = [[value, None] for value in values]
    assert written(nested, pl.List(dtype)) == [f"[{value},null]" for value in values]


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=150, deadline=None)
def test_a_float_is_the_shortest_text_that_comes_back(number: float) -> None:
    top, inside = written([number])[0], written([[number]])[0]
    assert top is not None and inside == f"[{top}]"
    assert json.loads(top) == number and str(json.loads(top)) == str(number)  # -0.0 too
    assert len(top.replace("+", "")) <= len(repr(number)) + 2  # 1e+16 and 1e16, 1e-5 and 0.00001


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
@settings(max_examples=100, deadline=None)
def test_a_float32_is_written_with_the_digits_that_it_has(number: float) -> None:
    (text,) = written([number], pl.Float32)
    assert text is not None
    assert struct.pack("f", json.loads(text)) == struct.pack("f", number)
    assert len(text.lstrip("-").replace(".", "").split("e")[0].strip("0")) <= 9


@pytest.mark.fault("S13")
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("dtype", "wrap"),
    [
        (pl.Float64, lambda n: n),
        (pl.Float32, lambda n: n),
        (pl.List(pl.Float64), lambda n: [1.0, n, None]),
        (pl.List(pl.List(pl.Float64)), lambda n: [[], None, [n]]),
        (pl.Array(pl.Float64, 2), lambda n: [1.0, n]),
        (pl.Array(pl.Float64, (1, 2)), lambda n: [[1.0, n]]),
        (pl.Struct({"x": pl.Float32}), lambda n: {"x": n}),
        (pl.Struct({"a": pl.Int64, "x": pl.List(pl.Struct({"y": pl.Float64}))}), lambda n: {"x": [None, {"y": n}]}),
    ],
    ids=lambda value: "inside" if callable(value) and not isinstance(value, pl.DataType) else str(value),
)
def test_what_json_cannot_say_is_rejected_however_deep_it_lies(number: float, dtype: pl.DataType, wrap: Any) -> None:
    fine, bad = wrap(1.5), wrap(number)
    made = sent(ONE, rows({"a": pl.Series([bad, fine, None, bad], dtype=dtype)}))
    rejected = ("number_not_finite", "attributes.a")
    expected = json.loads(json.dumps(pl.Series([fine], dtype=dtype).to_list()[0]))
    assert made == [rejected, {"a": expected}, {}, rejected]


@pytest.mark.parametrize(
    ("digits", "text"),
    [
        ("0.10", "0.10"),
        ("-0.05", "-0.05"),
        ("12345678901234567890123456.789012345678", "12345678901234567890123456.789012345678"),
        ("-1", "-1"),
        ("0.000", "0.000"),
    ],
)
def test_a_decimal_is_written_digit_by_digit(digits: str, text: str) -> None:
    number = Decimal(digits)
    scale = -int(number.as_tuple().exponent)
    assert written([number], pl.Decimal(38, scale)) == [text]
    assert (
        texts(ONE, rows({"a": pl.Series([number, None], dtype=pl.Decimal(38, scale))}))[0] == f'{START}{{"a":{text}}}}}'
    )


def test_a_decimal_inside_another_value_is_a_number_while_a_double_holds_it() -> None:
    inside = pl.Series([[Decimal("1.10"), None], [Decimal("-9999999999999.99")]], dtype=pl.List(pl.Decimal(15, 2)))
    assert sent(ONE, rows({"a": inside})) == [{"a": [1.1, None]}, {"a": [-9999999999999.99]}]
    deep = pl.Series([{"x": [Decimal("0.001")]}], dtype=pl.Struct({"x": pl.List(pl.Decimal(15, 3))}))
    assert sent(ONE, rows({"a": deep})) == [{"a": {"x": [0.001]}}]


def test_true_and_false_are_words() -> None:
    assert written([True, False]) == ["true", "false"]
    assert written([[True, None, False]]) == ["[true,null,false]"]


# ---------------------------------------------------------------- times


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Paris", "Asia/Kathmandu"])
@pytest.mark.parametrize(("unit", "per_second"), [("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)])
def test_a_time_is_unix_seconds_floored(unit: Any, per_second: int, zone: str | None) -> None:
    counts = [0, per_second - 1, -1, -per_second, -per_second - 1, 1_710_061_200 * per_second + 1]
    times = pl.Series(counts, dtype=pl.Int64).cast(pl.Datetime(unit, zone))
    seconds = [0, 0, -1, -1, -2, 1_710_061_200]
    assert sent(ONE, rows({"a": times})) == [{"a": second} for second in seconds]
    inside = pl.DataFrame({"t": times}).select(pl.struct("t", n=pl.concat_list("t"))).to_series()
    assert sent(ONE, rows({"a": inside})) == [{"a": {"t": second, "n": [second]}} for second in seconds]


def test_a_date_is_its_midnight_in_utc() -> None:
    days = [date(1970, 1, 1), date(1969, 12, 31), date(2199, 12, 31), date(1900, 1, 1)]
    seconds = [int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) for day in days]
    assert written(days) == [str(second) for second in seconds]
    assert written([[days]]) == [f"[[{','.join(map(str, seconds))}]]"]
    assert written([{"d": day} for day in days]) == [f'{{"d":{second}}}' for second in seconds]


# ---------------------------------------------------------------- categories, lists, structs, nulls


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["a", 'b"'])], ids=["categorical", "enum"])
def test_categories_are_text(dtype: Any) -> None:
    assert sent(ONE, rows({"a": pl.Series(["a", 'b"', None], dtype=dtype)})) == [{"a": "a"}, {"a": 'b"'}, {}]
    inside = pl.Series([["a", None], None, []], dtype=pl.List(dtype))
    assert sent(ONE, rows({"a": inside})) == [{"a": ["a", None]}, {}, {"a": []}]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pl.List(pl.String), [[], ["a", None, 'b"'], [None]]),
        (pl.List(pl.List(pl.Int64)), [[[]], [None, [1, None]], [[2], [3]]]),
        (pl.Array(pl.Int64, 2), [[1, 2], [None, 3]]),
        (pl.Array(pl.String, (2, 1)), [[["a"], [None]]]),
        (pl.Struct({"x": pl.Int64, "y": pl.String}), [{"x": 1, "y": "a"}, {"x": None, "y": None}, {"x": 2, "y": None}]),
        (pl.Struct({"x": pl.Struct({"y": pl.List(pl.Int64)})}), [{"x": {"y": [1]}}, {"x": {"y": None}}, {"x": None}]),
        (pl.List(pl.Struct({"x": pl.Int64})), [[{"x": 1}, None, {"x": None}], []]),
        (pl.Struct([]), [{}]),
        (pl.List(pl.Struct([])), [[{}], []]),
        (pl.List(pl.Null), [[None, None], []]),
    ],
    ids=str,
)
def test_lists_and_structs_are_themselves_with_their_nulls(dtype: pl.DataType, values: list[Any]) -> None:
    column = pl.Series([*values, None], dtype=dtype)
    assert sent(ONE, rows({"a": column})) == [*({"a": value} for value in values), {}]
    assert sent(ONE, rows({"a": column[:-1]})) == [{"a": value} for value in values]
    assert sent(CLEAR, rows({"a": column})) == [*({"a": value} for value in values), {"a": None}]


TYPES_WITHOUT_JSON = {
    "bytes": pl.Series([b"x"]),
    "durations": pl.Series([timedelta(1)]),
    "times of day": pl.Series([time(1)]),
    "Python objects": pl.Series([object()], dtype=pl.Object),
}


@pytest.mark.parametrize("name", TYPES_WITHOUT_JSON)
def test_a_type_without_a_json_form_is_refused_before_any_row(name: str) -> None:
    bad = TYPES_WITHOUT_JSON[name]
    reason = "which have no JSON form; leave the column out or cast it in the source"
    inside = (
        []
        if bad.dtype == pl.Object
        else [(bad.implode(), " (at [*])"), (pl.DataFrame({"x": bad}).to_struct(), " (at .x)")]
    )
    for values, place in ((bad, ""), *inside):
        with pytest.raises(SourceError) as refused:
            mapped(ONE, rows({"a": values}).clear())
        advised = reason.replace("; ", "; put `decode`, or ") if (name, place) == ("bytes", "") else reason
        assert str(refused.value) == f"m.yaml: attributes.a: column 'a': it holds {name}{place}, {advised}"


def test_a_null_is_left_out_of_its_row_only() -> None:
    data = {"a": [1, None, None, 4], "b": ["w", "x", None, None], "c": [True, True, False, None]}
    how = attributes(a="a", b="b", c="c")
    assert sent(mapping(attributes=how), rows(data)) == [
        {"a": 1, "b": "w", "c": True},
        {"b": "x", "c": True},
        {"c": False},
        {"a": 4},
    ]
    assert sent(mapping(attributes=how, nulls="clear"), rows(data)) == [
        {"a": 1, "b": "w", "c": True},
        {"a": None, "b": "x", "c": True},
        {"a": None, "b": None, "c": False},
        {"a": 4, "b": None, "c": None},
    ]


@pytest.mark.parametrize(
    "dtype", [pl.String, pl.Int64, pl.Float64, pl.Decimal(5, 2), pl.List(pl.Int64), pl.Null, pl.Date]
)
def test_attributes_may_be_all_null(dtype: Any) -> None:
    data = rows({"a": pl.Series([None, None], dtype=dtype), "b": pl.Series([None, None], dtype=dtype)})
    assert sent(mapping(attributes=attributes(a="a", b="b")), data) == [{}, {}]
    assert sent(mapping(attributes=attributes(a="a", b="b"), nulls="clear"), data) == [{"a": None, "b": None}] * 2
    with_constant = attributes(a="a", k=Constant("v"), b="b")
    assert sent(mapping(attributes=with_constant), data) == [{"k": "v"}] * 2


def test_there_may_be_no_attributes_at_all() -> None:
    assert texts(mapping(), rows({"a": [1]})) == [START + "{}}"]
    (event,) = outcomes(mapping("track"), rows({"a": [1]}))
    assert isinstance(event, dict) and list(event) == ["type", "action", "identifiers", "name", "id", "attributes"]
    assert event["attributes"] == {}


@pytest.mark.parametrize(
    "value", [None, True, False, 0, -1.5, 2**63, "", '},"', [], [1, [None]], {}, {"a": {'"': "é"}}], ids=repr
)
def test_a_constant_is_any_json(value: object) -> None:
    for data in ({"a": [1, 2]}, {"a": [1, None]}, {"a": pl.Series([None, None], dtype=pl.Int64)}):
        made = sent(mapping(attributes=attributes(a="a", k=Constant(value))), rows(data))
        assert [one["k"] for one in made] == [value, value]
    assert sent(mapping(attributes=attributes(k=Constant(value))), rows({"a": [1]})) == [{"k": value}]


# ---------------------------------------------------------------- text that is JSON already


def test_json_text_is_written_as_it_stands() -> None:
    how = mapping(attributes={"j": column("j", "json"), "k": column("j", "json", {"default": "none"})})
    column_ = pl.Series("j", ['{"n": 12345678901234567890.10, "l":[ ]}', None, "7", "[1"], dtype=pl.String)
    first, second, third, fourth = texts(how, rows({"j": column_}))
    assert first is not None and first.count('{"n": 12345678901234567890.10, "l":[ ]}') == 2
    assert second is not None and json.loads(second)["attributes"] == {"k": "none"}
    assert third is not None and json.loads(third)["attributes"] == {"j": 7, "k": 7}
    assert fourth is None
    clear = mapping(attributes={"j": column("j", "json")}, nulls="clear")
    assert sent(clear, rows({"j": column_}))[1:] == [{"j": None}, {"j": 7}, ("json_unreadable", "attributes.j")]


def test_a_source_s_own_struct_is_never_taken_for_json_text() -> None:
    assert sent(ONE, rows({"a": [{"raw_json": '"},'}, None]})) == [{"a": {"raw_json": '"},'}}, {}]


# ---------------------------------------------------------------- everything at once, against a simple reference


class Kind(NamedTuple):
    """A type of column: values for it, and what each is in JSON. Numerals are compared as text, by `same`."""

    dtype: pl.DataType
    values: st.SearchStrategy[Any]


NAMES = st.sampled_from(["a", "A b", "é", '"', "}", "item", "event", "_digest", "lane", "^x$", "*", "timestamp"])
TEXT = st.text(max_size=6) | st.sampled_from(HOSTILE)
INSTANTS = st.datetimes(datetime(1901, 1, 1), datetime(2199, 1, 1))
KINDS: list[Kind] = [
    Kind(pl.String(), TEXT),
    Kind(pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
    Kind(pl.UInt64(), st.integers(0, 2**64 - 1)),
    Kind(pl.Float64(), st.floats()),
    Kind(pl.Boolean(), st.booleans()),
    Kind(pl.Date(), st.dates(date(1901, 1, 1), date(2199, 1, 1))),
    Kind(pl.Datetime("us"), INSTANTS),
    Kind(
        pl.Datetime("ms", "UTC"),
        INSTANTS.map(lambda at: at.replace(tzinfo=UTC, microsecond=at.microsecond // 1000 * 1000)),
    ),
    Kind(pl.Decimal(20, 3), st.decimals(-(10**16), 10**16, places=3)),
    Kind(pl.Categorical(), st.sampled_from(["x", 'y"', "é"])),
    Kind(pl.Null(), st.none()),
]
NESTED = [kind for kind in KINDS if kind.dtype != pl.Null and not isinstance(kind.dtype, pl.Decimal)]
KINDS += [Kind(pl.List(k.dtype), st.lists(st.none() | k.values, max_size=3)) for k in NESTED]
KINDS += [
    Kind(
        pl.Struct({"*": one.dtype, '"': other.dtype}),
        st.fixed_dictionaries({"*": st.none() | one.values, '"': st.none() | other.values}),
    )
    for one, other in zip(NESTED, [*NESTED[3:], *KINDS[-3:]], strict=True)
]


class Numeral(str):
    """A number with a point or an exponent, as it was written."""


def parsed(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    return json.loads(text, parse_float=Numeral, object_pairs_hook=unique)


def same(made: Any, value: Any) -> bool:
    """Whether parsed JSON says this value of a row."""
    match value:
        case dict():
            return (
                isinstance(made, dict)
                and made.keys() == value.keys()
                and all(same(made[key], value[key]) for key in value)
            )
        case list():
            return isinstance(made, list) and len(made) == len(value) and all(map(same, made, value))
        case float():
            return isinstance(made, Numeral) and repr(float(made)) == repr(value)
        case Decimal():
            return isinstance(made, Numeral) and made == f"{value:f}"
        case datetime():
            utc = value.replace(tzinfo=UTC) if value.tzinfo is None else value
            return type(made) is int and made == (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
        case date():
            return type(made) is int and made == (value - date(1970, 1, 1)).days * 86_400
        case _:
            return type(made) is type(value) and made == value


def finite(value: Any) -> bool:
    match value:
        case float():
            return value - value == 0
        case list() | dict():
            return all(finite(inner) for inner in (value.values() if isinstance(value, dict) else value))
        case _:
            return True


@st.composite
def frames(draw: st.DrawFn) -> tuple[dict[str, Kind], dict[str, list[Any]]]:
    names = draw(st.lists(NAMES, unique=True, max_size=5))
    kinds = {name: draw(st.sampled_from(KINDS)) for name in names}
    height = draw(st.integers(1, 6))
    cell = {name: draw(st.sampled_from([kind.values, st.none() | kind.values])) for name, kind in kinds.items()}
    return kinds, {name: draw(st.lists(cell[name], min_size=height, max_size=height)) for name in [*names]} | {
        "n": list(range(height))
    }


@given(
    frames(),
    st.dictionaries(st.sampled_from(["k", "^k$", "1"]), st.sampled_from([None, 1, "x", [True]]), max_size=2),
    st.booleans(),
)
@settings(max_examples=250, deadline=None)
def test_every_item_is_what_a_slow_reference_builds_of_its_row(
    drawn: tuple[dict[str, Kind], dict[str, list[Any]]], constants: dict[str, Any], clear: bool
) -> None:
    kinds, data = drawn
    how = {name: Column(name) for name in kinds} | {name: Constant(value) for name, value in constants.items()}
    source = {name: pl.Series(data[name], dtype=kind.dtype) for name, kind in kinds.items()}
    made = mapped(
        mapping("track", attributes=how, nulls="clear" if clear else "omit"), rows({"n": data["n"], **source})
    )
    assert made["position"].to_list() == data["n"]
    for place, (item, reason, field) in enumerate(made.select("item", "reason", "field").iter_rows()):
        row = {name: data[name][place] for name in kinds}
        bad = next((name for name, value in row.items() if not finite(value)), None)
        if bad is not None:
            assert (item, reason, field) == (None, "number_not_finite", f"attributes.{bad}")
            continue
        expected = {name: value for name, value in row.items() if clear or value is not None} | constants
        event = parsed(item[:-1])
        assert event.pop("id") and same(event.pop("attributes"), expected)
        assert event == {"type": "person", "action": "event", "identifiers": {"id": str(place)}, "name": "e"}
