"""Is what `pick` takes out of JSON, or of nested columns, what stands there?"""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.transform.functions import RAW_JSON, apply, parse_call
from tests.functions import made_of, mapped

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


def as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@given(DOCUMENTS, st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_path_leads_to_what_json_has_there(document: Any, ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only)
    for path, value in paths(document).items():
        (made,), (rejected,) = made_of([text], {"pick": path})
        assert not rejected
        if isinstance(value, dict | list):
            assert json.loads(made) == value
        else:
            assert made == as_text(value)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), LEAVES), max_size=4))
@settings(max_examples=100, deadline=None)
def test_each_element_gives_one_text_in_order(elements: list[dict[str, Any]]) -> None:
    text = json.dumps({"items": elements})
    expected = [as_text(element.get("a")) for element in elements]
    assert mapped([text], {"pick": "items[*].a"}) == [expected]
    whole = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in elements]
    assert mapped([text], {"pick": "items[*]"}) == [whole]


@pytest.mark.parametrize("path", ["a", "a[*]", "a[0].b", "[*].b"])
@pytest.mark.parametrize("text", ["{", "", "{'a': 1}", "nul", '{"a": NaN}', "[1,]", "a=1"])
def test_what_is_no_json_is_rejected(text: str, path: str) -> None:
    assert made_of([text], {"pick": path}) == ([None], [True])


@pytest.mark.parametrize("path", ["a", "a[*]", "a[0].b", "[3]", "a[-9]"])
@pytest.mark.parametrize("text", ["null", "{}", "[]", '{"a": null}', "7", '"x"'])
def test_what_is_not_there_is_null_and_rejects_nothing(text: str, path: str) -> None:
    assert made_of([text], {"pick": path}) == ([None], [False])


def test_json_that_was_made_by_json_can_be_picked_from() -> None:
    assert mapped([{"raw_json": '{"a": 5}'}], {"pick": "a"}, RAW_JSON) == ["5"]


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
