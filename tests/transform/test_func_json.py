"""`pick` takes the right value out of JSON and of nested columns."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.transform.functions import RAW_JSON, apply, parse_call
from tests.functions import made_of, mapped, of_json
from tests.mapped_rows import Outcome, column, mapping, outcomes, rows, sent, texts

NAMES = st.text(alphabet="ab.*$@'[] é-?:,", min_size=1, max_size=4)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)


def paths(document: Any, path: str = "") -> dict[str, Any]:
    """Every path into a document, and what stands there."""
    found = {path: document} if path else {}
    inner: list[tuple[str, Any]] = []
    if isinstance(document, dict):
        inner = [(f'["{name}"]', value) for name, value in document.items()]
    elif isinstance(document, list):
        inner = [(f"[{place}]", value) for place, value in enumerate(document)]
        inner += [(f"[{place}]", document[place]) for place in range(-len(document), 0)]
    for step, value in inner:
        found |= paths(value, path + step)
    return found


@given(DOCUMENTS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_path_leads_to_what_json_has_there(document: Any, ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)
    for path, value in paths(document).items():
        (made,), (rejected,) = made_of([text], {"pick": path})
        assert not rejected
        assert repr(of_json(made)) == repr(value)  # 1, 1.0, true and "1" differ


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), LEAVES), max_size=4))
@settings(max_examples=100, deadline=None)
def test_each_element_gives_one_value_in_order(elements: list[dict[str, Any]]) -> None:
    text = json.dumps({"items": elements})
    expected = [element.get("a") for element in elements]
    assert repr(of_json(mapped([text], {"pick": "items[*].a"}))) == repr([expected])
    assert of_json(mapped([text], {"pick": "items[*]"})) == [elements]


@pytest.mark.parametrize("path", ["a", "a[*]", "a[0].b", "[*].b"])
@pytest.mark.parametrize("text", ["{", "", "{'a': 1}", "nul", '{"a": NaN}', "[1,]", "a=1"])
def test_what_is_no_json_is_rejected(text: str, path: str) -> None:
    assert made_of([text], {"pick": path}) == ([None], [True])


@pytest.mark.parametrize("path", ["a", "a[*]", "a[0].b", "[3]", "a[-9]"])
@pytest.mark.parametrize("text", ["null", "{}", "[]", '{"a": null}', "7", '"x"'])
def test_what_is_not_there_is_null_and_rejects_nothing(text: str, path: str) -> None:
    assert made_of([text], {"pick": path}) == ([None], [False])


def test_json_that_was_made_by_json_can_be_picked_from() -> None:
    assert of_json(mapped([{"raw_json": '{"a": 5}'}], {"pick": "a"}, RAW_JSON)) == [5]


ORDER = {"id": 7, "items": [{"sku": "x", "*": 1}, {"sku": None, "*": 2}], "to": {"^city$": "Nice"}}


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("id", 7),
        ("items[0].sku", "x"),
        ("items[-1].*", 2),
        ("items[5].sku", None),
        ("items[*].sku", ["x", None]),
        ("items[*].*", [1, 2]),
        ("to.^city$", "Nice"),
        ("to", {"^city$": "Nice"}),
    ],
)
def test_nested_columns_keep_their_types(path: str, made: object) -> None:
    assert made_of([ORDER], {"pick": path}) == ([made], [False])


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("itms", "pick: no field 'itms'; did you mean 'items'?"),
        ("to.zip", "pick: no field 'zip'; there are '^city$'"),
        ("items.sku", "pick: no field 'sku' in a column of lists"),
        ("id[0]", "pick: no place in a column of whole numbers"),
        ("to[*]", "pick: no place in a column of records"),
    ],
)
def test_a_path_that_no_nested_column_can_have_is_told(path: str, told: str) -> None:
    dtype = pl.DataFrame({"v": [ORDER]}).schema["v"]
    with pytest.raises(ValueError) as caught:
        apply(pl.col("v"), dtype, parse_call({"pick": path}))
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    "path", ["", "a.", "a..b", ".a", "a[", "a[x]", "$.a", "$", "$[0]", "a[*].b[*]", "a['b']", "[0]b"]
)
def test_what_is_no_path_is_told(path: str) -> None:
    with pytest.raises(ValueError, match=r"^pick: 'path' is names and places, as "):
        parse_call({"pick": path})


NUMBERS = [
    "845",
    "-1",
    "1.10",
    "12345678901234567890123",
    "2.50",
    "1E5",
    "0.1000000000000000055511151231257827",
]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("path", ["a", "b.c", "l[1]", "l[*]"])
def test_a_number_is_sent_to_its_last_digit_and_a_text_of_digits_as_text(number: str, path: str) -> None:
    how = mapping(attributes={"v": column("j", {"pick": path})})
    documents = [
        f'{{"a": {number}, "b": {{"c": {number}}}, "l": ["x", {number}]}}',
        f'{{"a": "{number}", "b": {{"c": "{number}"}}, "l": ["x", "{number}"], "z": {number}}}',
    ]
    expected = [f'["x",{one}]' if "*" in path else one for one in (number, f'"{number}"')]
    made = texts(how, rows({"j": documents}))
    assert [text and text.partition('"v":')[2].removesuffix("}}") for text in made] == expected


VALUES = {"n": 845, "f": 1.5, "b": True, "s": "845", "o": {"x": ["1", "y"]}, "l": [1, 2], "e": "", "z": None}
CHAINS: list[list[Any]] = [
    *[[{"pick": name}] for name in VALUES],
    [{"pick": "n"}, {"cast": "text"}],
    [{"pick": "s"}, {"cast": "integer"}],
    [{"pick": "n"}, {"multiply": 2}],
    [{"pick": "s"}, {"pad": 5}],
    [{"pick": "z"}, {"default": 7}],
    [{"pick": "l[*]"}],
    [{"pick": "l[0]"}],
    [{"pick": "l[*]"}, "last"],
    [{"pick": "l[*]"}, {"limit": 1}],
    [{"pick": "l[*]"}, "unique"],
    [{"pick": "l[*]"}, "compact"],
    [{"pick": "l[*]"}, "length"],
    [{"pick": "o.x[1]"}, "upper"],
]


@pytest.mark.parametrize("calls", CHAINS, ids=str)
def test_what_is_sent_does_not_depend_on_how_the_source_stores_it(calls: list[Any]) -> None:
    record = pl.DataFrame({"j": [VALUES]}).to_dict(as_series=True)
    text = {"j": [json.dumps(VALUES)]}
    how = mapping(attributes={"v": column("j", *calls)})

    def made(data: Any) -> list[Outcome]:
        return outcomes(how, rows(data))

    of_text, of_record = made(text), made(record)
    assert of_text == of_record and (len(calls) > 1 or repr(of_text) == repr(of_record))


def test_a_picked_identifier_address_or_time_is_the_text_that_it_is() -> None:
    data = {"j": ['{"id": "7", "mail": "a@b.co", "at": "2024-03-10T09:00:00Z"}', '{"id": 7, "mail": "a@b", "at": 1}']}
    how = mapping(
        identifiers={"id": column("j", {"pick": "id"})},
        attributes={"email": column("j", {"pick": "mail"}), "at": column("j", {"pick": "at"}, "timestamp")},
    )
    first, second = outcomes(how, rows(data))
    assert isinstance(first, dict) and first["identifiers"] == {"id": "7"}
    assert first["attributes"] == {"email": "a@b.co", "at": 1710061200}
    assert second == ("timestamp_unreadable", "attributes.at") or second == ("email_malformed", "attributes.email")


def test_a_picked_list_that_is_missing_may_have_a_default() -> None:
    how = mapping(attributes={"v": column("j", {"pick": "l[*]"}, {"default": ["a", "b"]})})
    assert sent(how, rows({"j": ["{}", '{"l": [1]}']})) == [{"v": ["a", "b"]}, {"v": [1]}]


def test_a_source_s_own_record_named_like_json_is_never_sent_as_json() -> None:
    data = {"a": [{"x": {"raw_json": '"},'}}]}
    assert sent(mapping(attributes={"v": column("a", {"pick": "x"})}), rows(data)) == [{"v": {"raw_json": '"},'}}]


def test_json_inside_a_json_string_can_be_picked_from() -> None:
    how = mapping(attributes={"v": column("j", {"pick": "inner"}, {"pick": "x"})})
    documents = [
        json.dumps({"inner": json.dumps({"x": 5})}),
        '{"inner": {"x": "5"}}',
        '{"inner": "no"}',
        '{"inner": null}',
    ]
    assert sent(how, rows({"j": documents})) == [{"v": 5}, {"v": "5"}, ("json_unreadable", "attributes.v"), {}]


@pytest.mark.parametrize("wrap", [json.dumps, lambda number: f'"{number}"'], ids=["a number", "a text"])
def test_the_unit_of_picked_times_is_found_from_the_whole_column(wrap: Any) -> None:
    how = mapping(attributes={"v": column("j", {"pick": "at"}, "timestamp")})
    assert sent(how, rows({"j": [f'{{"at": {wrap(1_710_061_200_123)}}}']})) == [{"v": 1_710_061_200}]
    categories = pl.Series(["1710061200123"], dtype=pl.Categorical)
    assert sent(mapping(attributes={"v": column("c", "timestamp")}), rows({"c": categories})) == [{"v": 1_710_061_200}]


@pytest.mark.parametrize(
    ("dtype", "value", "path", "made"),
    [
        (pl.Map(pl.String, pl.Int64), {"a": 5, "b": None}, "a", 5),
        (pl.Map(pl.String, pl.Int64), {"a": 5}, "b", None),
        (pl.Map(pl.Int32, pl.String), {1: "x"}, '["1"]', "x"),
        (pl.Map(pl.String, pl.Map(pl.String, pl.List(pl.Date))), {"a": {"b": [19_000]}}, "a.b[0]", 1641600000),
        (pl.List(pl.Map(pl.String, pl.Float64)), [{"a": 1.5}, {}], "[*].a", [1.5, None]),
    ],
    ids=str,
)
def test_a_value_is_picked_out_of_a_map_by_its_key(dtype: Any, value: Any, path: str, made: object) -> None:
    how = mapping(attributes={"v": column("m", {"pick": path})}, nulls="clear")
    assert sent(how, rows({"m": pl.Series([value], dtype=dtype)})) == [{"v": made}]


@pytest.mark.parametrize(
    "raw",
    [
        "length",
        "upper",
        "trim",
        "split",
        {"contains": "x"},
        {"replace": {"old": "x", "new": "y"}},
        {"null_if": "x"},
        {"map": {"values": {"x": "y"}, "default": "z"}},
        {"template": "{}"},
        {"truncate": 3},
    ],
    ids=str,
)
def test_a_function_of_texts_rejects_a_json_list_or_object(raw: object) -> None:
    how = mapping(attributes={"a": column("j", {"pick": "k"}, raw)})
    documents = ['{"k": {"x": 1}}', '{"k": ["x"]}', '{"k": []}', '{"k": "{}"}', '{"k": null}', "{}"]
    made = sent(how, rows({"j": documents}))
    assert made[:3] == [("not_a_text", "attributes.a")] * 3
    assert all(isinstance(one, dict) for one in made[3:])


def test_the_text_of_a_json_list_is_its_json() -> None:
    how = mapping(attributes={"a": column("j", {"pick": "k"}, {"cast": "text"}, "length")})
    assert sent(how, rows({"j": ['{"k": [1,2]}']})) == [{"a": 5}]


def test_the_length_of_a_list_in_json_is_that_of_its_elements() -> None:
    how = mapping(attributes={"a": column("j", {"pick": "k[*]"}, "length")})
    assert sent(how, rows({"j": ['{"k": [1, {"x": [2, 3]}]}', '{"k": []}']})) == [{"a": 2}, {"a": 0}]


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ('[{"k":1,"k":{"k":3,"k":[1,{"a":"\\"a\\":1","a":9}]}}]', '[{"k":{"k":[1,{"a":9}]}}]'),
        ('{\n"a":1,\r\n"b":"c\\nd:","a":3}', '{ "b":"c\\nd:","a":3}'),
        ('{"\\u0061":1,"a":2}', '{"a":2}'),
        ('{"a":{"a":1},"b":{"a":2}}', '{"a":{"a":1},"b":{"a":2}}'),
        ('"a:1,a:2"', '"a:1,a:2"'),
    ],
)
def test_of_a_key_that_an_object_has_twice_the_last_is_sent(text: str, last: str) -> None:
    column = pl.Series("v", ['{"z": 1.50}', None, "{", text, '{"z": 1}'])
    made = column.to_frame().select(apply(pl.col("v"), pl.String(), parse_call("json"))).to_series()
    assert made.struct.field("raw_json").to_list() == ['{"z": 1.50}', None, None, last, '{"z": 1}']
