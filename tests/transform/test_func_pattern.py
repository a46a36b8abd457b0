"""Patterns match and replace as Python's `re` does, and a wrong one is reported when the YAML is read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.transform.functions import parse_call
from tests.functions import made_of, mapped

ASCII = st.text(alphabet="ab1-. \n", max_size=12)
# Patterns of which Python and Rust agree, over ASCII: no `$`, which Python also finds before a last line break.
PIECES = st.sampled_from(
    ["a", "b+", "[a-c]", "1*", r"\.", "-?", "(a|b)", "(?:1|-)", "(b)?", r"\d", "[^a]", r"\A", r"\s"]
)
PATTERNS = st.lists(PIECES, min_size=1, max_size=4).map("".join)


@given(ASCII, PATTERNS)
@settings(max_examples=200, deadline=None)
def test_a_match_is_that_of_python(text: str, pattern: str) -> None:
    assert mapped([text], {"regex_match": pattern}) == [re.search(pattern, text) is not None]


@given(ASCII, PATTERNS)
@settings(max_examples=200, deadline=None)
def test_a_group_is_that_of_python(text: str, pattern: str) -> None:
    found = re.search(pattern, text)
    for group in range(re.compile(pattern).groups + 1):
        (made,), (rejected,) = made_of([text], {"regex_extract": {"pattern": pattern, "group": group}})
        assert made == (found[group] if found else None)
        assert rejected == (made is None)


@given(ASCII, st.sampled_from(["a", "b+", "[a-c]", "1+", r"\.", "(a|b)", r"\d-", "[^a]"]))
@settings(max_examples=200, deadline=None)
def test_what_is_replaced_is_what_python_replaces(text: str, pattern: str) -> None:
    assert mapped([text], {"regex_replace": {"pattern": pattern, "new": "<$0>$$"}}) == [
        re.sub(pattern, lambda found: f"<{found[0]}>$", text)
    ]


@pytest.mark.parametrize(
    ("arguments", "made"),
    [
        ({"pattern": "(?<user>.+)@(?<host>.+)"}, "ada"),
        ({"pattern": "(?<user>.+)@(?<host>.+)", "group": "host"}, "x.org"),
        ({"pattern": "(?P<user>.+)@(.+)", "group": 2}, "x.org"),
        ({"pattern": "(?<user>.+)@(?<host>.+)", "group": 0}, "ada@x.org"),
        ({"pattern": "(?i)ADA"}, "ada"),
        ({"pattern": "(?:ada)@"}, "ada@"),
    ],
)
def test_a_group_has_a_number_or_a_name_and_is_the_first_without(arguments: dict[str, object], made: str) -> None:
    assert mapped(["ada@x.org"], {"regex_extract": arguments}) == [made]


def test_a_group_that_took_no_part_in_the_match_is_as_none() -> None:
    assert made_of(["ac"], {"regex_extract": "a(b)?c"}) == ([None], [True])
    assert made_of(["ac"], {"regex_extract": {"pattern": "a(b)?c", "optional": True}}) == ([None], [False])


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"regex_match": "(a"}, "'pattern' is not one: unclosed group; put a \\ before a sign that stands for itself"),
        ({"regex_extract": "[a"}, "'pattern' is not one: unclosed character class; put a \\ before"),
        ({"regex_match": "a(?=b)"}, "'pattern' is not one: look-around, such as (?=…), is not supported; take a group"),
        ({"regex_match": r"(a)\1"}, r"'pattern' is not one: a back-reference, such as \1, is not supported"),
        ({"regex_match": "(a{1000}){1000}"}, "'pattern' is not one: it is too large; repeat less"),
        (
            {"regex_extract": {"pattern": "a(b)", "group": 2}},
            "the pattern has no group 2; it has 1, and 0 is the whole",
        ),
        ({"regex_extract": {"pattern": "a", "group": -1}}, "the pattern has no group -1; it has 0"),
        ({"regex_extract": {"pattern": "(?<b>b)", "group": "c"}}, "the pattern has no group 'c'; it has 1, named 'b'"),
        ({"regex_replace": {"pattern": "(a)", "new": "$1x"}}, "'new' names a group '1x' that the pattern has not"),
        ({"regex_replace": {"pattern": "(a)", "new": "${b}"}}, "'new' names a group 'b' that the pattern has not"),
        ({"regex_replace": {"pattern": "(a", "new": ""}}, "'pattern' is not one: unclosed group"),
    ],
)
def test_what_is_wrong_is_told_when_the_yaml_is_read(raw: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_call(raw)
    assert str(caught.value).startswith(f"{next(iter(raw))}: {told}")


def test_dollars_and_groups_in_what_is_put_instead() -> None:
    assert mapped(["ab"], {"regex_replace": {"pattern": "(?<x>a)(b)", "new": "${x}-$2-${0}-$$1"}}) == ["a-b-ab-$1"]
