"""Every row that Customer.io would silently drop or cut is rejected, and no other row is."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.apis import SEMANTIC_EVENTS
from cio_etl.model import Column, Constant, Mapping, reason_words
from cio_etl.transform import checks
from tests.mapped_rows import Outcome, attributes, column, mapped, mapping, outcomes, rows, sent, texts


def judged(how: Mapping, **data: Any) -> list[str]:
    """`sent`, or the reason, for each row."""
    return ["sent" if isinstance(made, dict) else made[0] for made in outcomes(how, rows(data))]


def reject(reason: str, field: str | None) -> Outcome:
    return (reason, field)


def who(kind: str) -> Mapping:
    return mapping(identifiers={kind: Column("i")})


# ---------------------------------------------------------------- who


@pytest.mark.parametrize("kind", ["id", "email", "phone", "cio_id"])
@pytest.mark.parametrize("blank", [None, "", " ", "\t\u00a0\n"], ids=repr)
def test_a_row_without_an_identifier_is_rejected(kind: str, blank: str | None) -> None:
    made = outcomes(who(kind), rows({"i": pl.Series([blank], dtype=pl.String)}))
    assert made == [("identifier_missing", f"identifiers.{kind}")]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("x" * 150, "sent"),
        ("x" * 151, "identifier_too_long"),
        ("é" * 75, "sent"),
        ("é" * 75 + "x", "identifier_too_long"),
        ("😀" * 37 + "xx", "sent"),
        ("😀" * 38, "identifier_too_long"),
    ],
    ids=len,
)
def test_an_identifier_has_at_most_150_bytes(text: str, verdict: str) -> None:
    assert judged(who("id"), i=[text]) == [verdict]


EMAILS = {
    "sent": ["a@b.co", "A.B+c@Sub.Example.ORG", "o'neil@b.co", "é@ü.de", '"x"@b.co', "a@1.2", "a@b-c.d-e"],
    "email_malformed": [
        *("a@b", "ab.co", "@b.co", "a@", "a@@b.co", "a@b@c.co", "a@b..co", "a@.co", "a@b.co.", "a b@c.co", "a@b.co "),
        *(
            " a@b.co",
            "a@b.co\n",
            "a@b.co,c@d.co",
            "a@b.co;c@d.co",
            "<a@b.co>",
            "Ada <a@b.co>",
            "a@b .co",
            "a@[1.2.3.4]",
        ),
    ],
}
BY_SHAPE = [(text, verdict) for verdict, texts in EMAILS.items() for text in texts]


@pytest.mark.parametrize(("text", "verdict"), BY_SHAPE)
def test_an_e_mail_address_has_its_shape_as_identifier_and_as_attribute(text: str, verdict: str) -> None:
    assert judged(who("email"), i=[text]) == [verdict]
    person, event = mapping(attributes=attributes(email="i")), mapping("track", attributes=attributes(email="i"))
    assert judged(person, i=[text]) == [verdict]
    assert judged(event, i=[text, None]) == ["sent", "sent"]  # of an event it is an attribute like any other
    assert sent(person, rows({"i": pl.Series([None], dtype=pl.String)})) == [{}]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("+33612345678", "sent"),
        ("+1234567", "sent"),
        ("+123456789012345", "sent"),
        *(
            (bad, "phone_malformed")
            for bad in ("0612345678", "33612345678", "+0612345678", "+123456", "+1234567890123456")
        ),
        *(
            (bad, "phone_malformed")
            for bad in ("+33 6 12 34 56 78", " +33612345678", "+33612345678\n", "+3361234567٨", "++336123456")
        ),
    ],
)
def test_a_phone_number_has_the_shape_of_e_164(text: str, verdict: str) -> None:
    assert judged(who("phone"), i=[text]) == [verdict]


def test_an_id_may_have_any_shape() -> None:
    assert judged(who("id"), i=["a@@b", "0", " x ", "{}"]) == ["sent"] * 4
    assert judged(who("cio_id"), i=["03000001"]) == ["sent"]


# ---------------------------------------------------------------- what and when


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("order_placed", "sent"),
        ("x" * 100, "sent"),
        ("x" * 101, "event_name_too_long"),
        ("é" * 50, "sent"),
        ("é" * 50 + "x", "event_name_too_long"),
        (None, "event_name_missing"),
        ("", "event_name_missing"),
        (" \t", "event_name_missing"),
        *((name, "event_name_reserved") for name in sorted(SEMANTIC_EVENTS)),
        (" User Deleted ", "event_name_reserved"),
        ("user deleted", "sent"),
    ],
)
def test_an_event_s_name_in_a_column_is_checked_in_every_row(name: str | None, verdict: str) -> None:
    data = rows({"e": pl.Series([name, "fine"], dtype=pl.String)})
    first, second = outcomes(mapping("track", event=Column("e")), data)
    assert isinstance(second, dict)
    assert isinstance(first, dict) if verdict == "sent" else first == (verdict, "event")


def test_a_reserved_event_may_be_meant() -> None:
    how = mapping("track", event=Column("e"), allow_reserved=("User Deleted",))
    assert judged(how, e=["User Deleted", " User Deleted", "Object Deleted"]) == ["sent", "sent", "event_name_reserved"]


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (None, "timestamp_missing"),
        (0, "sent"),
        (-1, "timestamp_out_of_range"),
        (7_258_118_400, "sent"),
        (7_258_118_401, "timestamp_out_of_range"),
        (1_710_061_200_000, "timestamp_out_of_range"),
        (2**63 - 1, "timestamp_out_of_range"),
        (-(2**63), "timestamp_out_of_range"),
    ],
)
@pytest.mark.parametrize("operation", ["identify", "track"])
def test_the_time_of_an_item_is_seconds_from_1970_to_2200(operation: str, seconds: int | None, verdict: str) -> None:
    data = rows({"t": pl.Series([seconds], dtype=pl.Int64)})
    (made,) = outcomes(mapping(operation, timestamp=Column("t")), data)
    assert isinstance(made, dict) if verdict == "sent" else made == (verdict, "timestamp")


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (None, "sent"),
        (-2_208_988_800, "sent"),
        (-2_208_988_801, "timestamp_out_of_range"),
        (7_258_118_400, "sent"),
        (7_258_118_401, "timestamp_out_of_range"),
        (253_402_300_799, "timestamp_out_of_range"),  # 9999-12-31, where "never" is written so
    ],
)
def test_a_date_attribute_is_seconds_from_1900_to_2200(seconds: int | None, verdict: str) -> None:
    numbers = pl.Series([seconds], dtype=pl.Int64)
    for name, how in {
        "created_at": mapping(attributes=attributes(created_at="t")),
        "seen": mapping("track", attributes={"seen": column("t", {"timestamp": {"unit": "s"}})}),
    }.items():
        (made,) = outcomes(how, rows({"t": numbers}))
        assert isinstance(made, dict) if verdict == "sent" else made == (verdict, f"attributes.{name}")
    assert judged(mapping(attributes=attributes(n="t")), t=numbers) == ["sent"]  # a number is no date


def test_milliseconds_are_no_seconds() -> None:
    data = rows({"t": [1_710_061_200_000]})
    assert sent(mapping(attributes=attributes(created_at="t")), data) == [
        ("timestamp_out_of_range", "attributes.created_at")
    ]


@pytest.mark.parametrize("call", [{"cast": "text"}, {"template": "{}"}], ids=str)
def test_a_text_made_of_a_time_is_text(call: Any) -> None:
    how = mapping(attributes={"since": column("i", "timestamp", call)})
    assert sent(how, rows({"i": ["2024-03-10"]})) == [{"since": "1710028800"}]


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt8, pl.Int32, pl.UInt64, pl.Int128])
def test_times_of_every_whole_type_are_checked(dtype: Any) -> None:
    largest = pl.select(dtype.max()).item()
    how = mapping("track", timestamp=Column("t"), attributes=attributes(created_at="t"))
    verdict = "sent" if largest <= 7_258_118_400 else "timestamp_out_of_range"
    assert judged(how, t=pl.Series([largest, 0, None], dtype=dtype)) == [verdict, "sent", "timestamp_missing"]


def test_a_column_of_dates_is_checked_as_dates() -> None:
    days = pl.Series([2_932_896, 0, None], dtype=pl.Int32).cast(pl.Date)
    assert sent(mapping(attributes=attributes(until="d")), rows({"d": days})) == [
        ("timestamp_out_of_range", "attributes.until"),
        {"until": 0},
        {},
    ]


def test_a_constant_time_is_checked_too() -> None:
    assert judged(mapping("track", timestamp=Constant(7_258_118_401)), a=[1, 2]) == ["timestamp_out_of_range"] * 2
    assert judged(mapping("track", timestamp=Constant(0)), a=[1]) == ["sent"]


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [
        (("a", 1), "sent"),
        ((None, 1), "event_key_missing"),
        (("a", None), "event_key_missing"),
        ((None, None), "event_key_missing"),
    ],
)
def test_an_event_whose_key_has_a_null_is_rejected(keys: tuple[str | None, int | None], verdict: str) -> None:
    data = rows({"k": pl.Series([keys[0]], dtype=pl.String), "l": pl.Series([keys[1]], dtype=pl.Int64)})
    (made,) = outcomes(mapping("track", event_key=("k", "l")), data)
    assert isinstance(made, dict) if verdict == "sent" else made == (verdict, "event_key")


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_an_event_key_that_is_not_finite_is_called_so(number: float) -> None:
    data = rows({"k": pl.Series([number], dtype=pl.Float64)})
    assert outcomes(mapping("track", event_key=("k",)), data) == [("number_not_finite", "event_key")]


# ---------------------------------------------------------------- values and sizes

LIST_OF_TEXT = pl.List(pl.String)


@pytest.mark.parametrize(
    ("value", "dtype", "verdict"),
    [
        ("x" * 1_000, pl.String, "sent"),
        ("x" * 1_001, pl.String, "value_too_long"),
        ("é" * 500, pl.String, "sent"),
        ("é" * 500 + "x", pl.String, "value_too_long"),
        ('"' * 1_000, pl.String, "sent"),  # of the value; its escapes are JSON's
        (["x" * 996], LIST_OF_TEXT, "sent"),  # the JSON text: ["…"]
        (["x" * 997], LIST_OF_TEXT, "value_too_long"),
        (["é" * 498], LIST_OF_TEXT, "sent"),
        (["é" * 498 + "x"], LIST_OF_TEXT, "value_too_long"),
        ({"k": "x" * 992}, pl.Struct({"k": pl.String}), "sent"),
        ({"k": "x" * 993}, pl.Struct({"k": pl.String}), "value_too_long"),
        (["x" * 500, "x" * 493], pl.Array(pl.String, 2), "sent"),
        (["x" * 500, "x" * 494], pl.Array(pl.String, 2), "value_too_long"),
        (None, LIST_OF_TEXT, "sent"),
        ("x" * 1_001, pl.Categorical, "value_too_long"),
    ],
    ids=lambda given: given if isinstance(given, str) and len(given) < 30 else None,
)
def test_a_person_s_value_has_at_most_1000_bytes_and_an_event_s_any_number(
    value: Any, dtype: Any, verdict: str
) -> None:
    data = rows({"v": pl.Series([value], dtype=dtype)})
    (person,) = outcomes(mapping(attributes=attributes(v="v")), data)
    assert isinstance(person, dict) if verdict == "sent" else person == (verdict, "attributes.v")
    (event,) = outcomes(mapping("track", attributes=attributes(v="v")), data)
    assert isinstance(event, dict)


def test_json_text_counts_as_it_is_written() -> None:
    fits, over = "[" + " " * 998 + "]", "[" + " " * 999 + "]"
    assert judged(mapping(attributes={"v": column("v", "json")}), v=[fits, over]) == ["sent", "value_too_long"]


ITEM = mapping("track", attributes=attributes(v="v"))


@pytest.mark.parametrize("letter", ["x", "é", "漢", "😀", '"', "\x01"], ids=ascii)
def test_an_item_of_32000_bytes_is_sent_and_one_of_32001_is_not(letter: str) -> None:
    (empty,) = texts(ITEM, rows({"v": ["-"]}))
    (one,) = texts(ITEM, rows({"v": [letter + "-"]}))
    assert empty is not None and one is not None
    room = 32_000 - len(empty.encode())
    letters, rest = divmod(room, len(one.encode()) - len(empty.encode()))
    value = letter * letters + "-" * rest + "-"
    fits, over = outcomes(ITEM, rows({"v": [value, value + "-"]}))
    assert isinstance(fits, dict) and fits["attributes"] == {"v": value}
    assert over == ("item_too_large", None)
    (text, _) = texts(ITEM, rows({"v": [value, value + "-"]}))
    assert text is not None and len(text.encode()) == 32_000


@given(st.lists(st.none() | st.text(max_size=12), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_a_row_that_is_sent_breaks_no_limit(values: list[str | None]) -> None:
    how = mapping(identifiers={"email": Column("i")}, attributes=attributes(email="i"))
    for text, value in zip(outcomes(how, rows({"i": pl.Series(values, dtype=pl.String)})), values, strict=True):
        if isinstance(text, dict):
            assert value is not None and "@" in value and "." in value.split("@")[1] and value == value.strip()


# ---------------------------------------------------------------- what is wrong with a mapping whatever the rows


def told(how: Mapping) -> list[tuple[str, str]]:
    return list(checks.problems(how))


@pytest.mark.parametrize(
    ("count", "message"), [(300, []), (301, [("attributes", "301 attributes; Customer.io takes 300 a call")])]
)
def test_a_person_has_at_most_300_attributes_constants_among_them(count: int, message: list[tuple[str, str]]) -> None:
    many = {f"a{n}": Column("a") if n % 2 else Constant(n) for n in range(count)}
    assert told(mapping(attributes=many)) == message
    assert told(mapping("track", attributes=many)) == []


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        ("x" * 150, []),
        ("é" * 75, []),
        ("é" * 75 + "x", [("attributes." + "é" * 75 + "x", "the name is 151 bytes; Customer.io takes 150")]),
        ("", [("attributes", "an attribute has an empty name")]),
        (" \t", [("attributes", "an attribute has an empty name")]),
        (
            "cio_id",
            [("attributes.cio_id", "'cio_id' is reserved by Customer.io; add allow_reserved: [cio_id] if you mean it")],
        ),
        (
            "_update",
            [
                (
                    "attributes._update",
                    "'_update' is reserved by Customer.io; add allow_reserved: [_update] if you mean it",
                )
            ],
        ),
        ("recipient", []),
        ("email", []),
    ],
    ids=lambda given: given[:20] if isinstance(given, str) else "",
)
def test_names_of_attributes_are_checked(name: str, problems: list[tuple[str, str]]) -> None:
    assert told(mapping(attributes=attributes(**{name: Column("a")}))) == problems
    assert told(mapping(attributes=attributes(**{name: Constant(1)}))) == problems


def test_what_is_reserved_hangs_on_the_operation_and_may_be_meant() -> None:
    event = mapping("track", attributes=attributes(recipient="a", cio_id="a"))
    assert [path for path, _ in told(event)] == ["attributes.recipient"]
    assert told(mapping("track", attributes=attributes(recipient="a"), allow_reserved=("recipient",))) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("order_placed", None),
        ("é" * 50, None),
        ("é" * 50 + "x", "the name is 101 bytes; Customer.io takes 100"),
        ("", "the name of an event is text, and not empty"),
        ("  ", "the name of an event is text, and not empty"),
        (7, "the name of an event is text, and not empty"),
        ("User Deleted", "Customer.io acts on events named 'User Deleted'; add it to allow_reserved if you mean it"),
        (" User Deleted", "Customer.io acts on events named ' User Deleted'; add it to allow_reserved if you mean it"),
    ],
)
def test_the_name_of_every_event_is_checked_once(name: object, message: str | None) -> None:
    assert told(mapping("track", event=Constant(name))) == ([] if message is None else [("event", message)])
    if message and "acts on" in message:
        assert told(mapping("track", event=Constant(name), allow_reserved=(str(name),))) == []


def test_all_problems_are_told() -> None:
    many = {f"a{n}": Constant(n) for n in range(301)} | {"cio_id": Constant(1), "": Constant(1)}
    assert [path for path, _ in told(mapping(attributes=many))] == ["attributes", "attributes.cio_id", "attributes"]


# ---------------------------------------------------------------- the table of reasons


def test_every_reason_has_words_for_the_one_who_must_act() -> None:
    for reason, words in reason_words().items():
        assert reason.islower() and " " not in reason
        assert len(words) > 15 and not words.endswith(".")
        assert words.isascii() or "é" not in words


def test_columns_are_named_once_and_in_the_mapping_s_order() -> None:
    how = mapping(
        "track",
        event=Column("e"),
        timestamp=Column("t"),
        event_key=("k", "t"),
        attributes=attributes(x="b", y="e"),
        when='"W w" = 1 and b > 2',
    )
    assert checks.columns_of(how) == ("id", "e", "t", "b", "k", "W w")


def test_all_reasons_of_a_row_are_kept_and_what_follows_from_one_is_none() -> None:
    two = mapping(
        attributes={"age": column("age", "number"), "email": column("mail"), "seen": column("seen", "timestamp")},
        identifiers={"id": column("id", {"cast": "integer"})},
    )
    frame = rows(
        {
            "id": ["1", "2", "x", None, "5"],
            "age": ["7", "seven", "seven", "8", "9"],
            "mail": ["a@b.co", "nope", "a@b.co", "nope", "a@b.co"],
            "seen": ["2024-01-01", "soon", "2024-01-01", None, "soon"],
        },
        faults=[None, None, None, None, "row_ragged"],
    )
    made = mapped(two, frame).select("reason", "field", "also").rows()
    assert made == [
        (None, None, None),
        (
            "not_a_number",
            "attributes.age",
            "also timestamp_unreadable in attributes.seen; email_malformed in attributes.email",
        ),
        ("cast_failed", "identifiers.id", "also not_a_number in attributes.age"),
        ("identifier_missing", "identifiers.id", "also email_malformed in attributes.email"),
        ("row_ragged", None, None),
    ]


def test_the_words_of_a_reason_name_the_limit_that_is_checked() -> None:
    limits = {
        "identifier_too_long": checks.MAX_IDENTIFIER_BYTES,
        "object_too_long": checks.MAX_IDENTIFIER_BYTES,
        "event_name_too_long": checks.MAX_EVENT_NAME_BYTES,
        "item_too_large": checks.MAX_ITEM_BYTES,
    }
    words = reason_words()
    assert [code for code, most in limits.items() if f" over {most:,} bytes" not in words[code]] == []
