"""Each audit reports what only a whole data set shows, on rows that have what it looks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from cio_etl.audit import FINDINGS, StepContext, audits, forecast, located_findings
from cio_etl.audit.identity import Identity
from cio_etl.audit.keys import Keys
from cio_etl.audit.names import JSON_VALUES_READ
from cio_etl.model import Column, Constant, Destination, Finding, Forecast, Mapping
from tests.mapped_rows import attributes, column, mapping, rows
from tests.snapshots import compiled, held, step

SECRET = SecretStr("none is read")
TRACK = Destination("track", "", dict.fromkeys(("site_id", "api_key"), SECRET))
NOTHING = StepContext()


def findings(
    how: Mapping, frame: pl.DataFrame, beside: StepContext = NOTHING, frame_rows: int = 1_000
) -> list[Finding]:
    """What all audits find in these rows, read in frames of so many."""
    snapshot = held(frame, frame_rows)
    ready = compiled(how, snapshot)
    asking = audits(step(how), ready, TRACK, 0.0, beside)
    for part in snapshot.read(ready.columns, 0):
        mapped = ready.mapped(part)
        for audit in asking:
            audit.observe(mapped)
    return list(located_findings(asking, snapshot.places))


def one(how: Mapping, data: dict[str, Any], code: str, **more: Any) -> Finding | None:
    """The finding of this code, which is the same whatever the frames are."""
    in_one, in_many = (
        next((f for f in findings(how, rows(data), frame_rows=size, **more) if f.code == code), None)
        for size in (1_000, 2)
    )
    assert in_one == in_many
    if in_one is not None:
        assert in_one.code in FINDINGS
    return in_one


def said(finding: Finding | None) -> tuple[str, str | None, int, str, tuple[str, ...]]:
    assert finding is not None
    lines = tuple(place.removeprefix("rows.csv:") for place in finding.first_rows)
    return finding.severity, finding.field, finding.rows, finding.words, lines


PERSON = mapping(attributes=attributes(email="mail"))


# ---------------------------------------------------------------- who


def test_a_phone_number_of_several_ids_is_told_where_it_may_matter() -> None:
    phones = mapping(attributes=attributes(phone="phone"))
    found = one(phones, {"id": ["1", "2", "3"], "phone": ["+33612345678", "+33612345678", None]}, "phone_shared")
    assert said(found)[:3] == ("notice", "attributes.phone", 2)
    assert one(phones, {"id": ["1", "1"], "phone": ["+33612345678"] * 2}, "phone_shared") is None


def test_an_address_of_several_ids_is_found_whatever_its_capitals() -> None:
    data = {"id": ["1", "2", "3", "1", "4"], "mail": ["a@b.co", "c@d.co", "A@B.co", "a@b.co", None]}
    assert said(one(PERSON, data, "email_shared")) == (
        "warning",
        "attributes.email",
        3,
        "1 address belongs to several ids, 2 ids in all; Customer.io gives an address to one person only",
        ("2", "4", "5"),
    )
    assert one(PERSON, data | {"mail": ["a@b.co", "c@d.co", "e@f.co", "a@b.co", None]}, "email_shared") is None
    by_mail = mapping(identifiers={"email": Column("mail")}, attributes={})
    assert one(by_mail, {"mail": ["a@b.co", "a@b.co"]}, "email_shared") is None


def test_rows_that_are_not_sent_say_nothing_of_who_they_are_of() -> None:
    how = mapping(attributes=attributes(email="mail", plan="plan"), when="plan <> 'no'")
    data = {"id": ["1", "2", " 1"], "mail": ["a@b.co", "a@b.co", "nope"], "plan": ["yes", "no", "yes"]}
    assert findings(how, rows(data)) == []


@pytest.mark.parametrize(
    ("ids", "twins", "lines"),
    [
        (["ab", "AB", "cd"], 2, ("3",)),
        (["AB", "ab", "Ab"], 3, ("2", "4")),
        (["a b", "ab"], 0, ()),
        (["ab", " ab", "x"], 2, ("3",)),
        (["AB", "Ab", "x"], 2, ("2", "3")),  # neither is as it would be folded
        (["Émile", "émile"], 2, ("2",)),
        (["ab", "ab"], 0, ()),
        (["AB", "CD"], 0, ()),
    ],
)
def test_ids_that_differ_by_capitals_or_white_space_only_are_twins(
    ids: list[str], twins: int, lines: tuple[str, ...]
) -> None:
    finding = one(mapping(), {"id": ids}, "id_case_twins")
    assert (finding.rows if finding else 0) == twins
    if finding:
        assert (finding.severity, finding.field) == ("warning", "identifiers.id")
        assert finding.words.startswith(f"{twins} ids differ from another id by capitals or white space only")
        assert said(finding)[-1] == lines


@pytest.mark.parametrize(
    ("ids", "twins"),
    [(["7", "007"], 2), (["07", "007"], 2), (["0", "00"], 2), (["007", "8"], 0), (["x07", "x7"], 0), (["7", "7"], 0)],
)
def test_ids_that_differ_by_leading_zeros_only_are_twins(ids: list[str], twins: int) -> None:
    finding = one(mapping("track"), {"id": ids}, "id_zero_twins")
    assert (finding.rows if finding else 0) == twins


def test_ids_that_are_numbers_have_no_twins() -> None:
    assert findings(mapping(), rows({"id": [7, 70, 700]})) == []
    assert findings(mapping(identifiers={"id": column("id", {"cast": "integer"})}), rows({"id": ["7", "70"]})) == []


def test_an_address_written_in_several_ways_is_one_person() -> None:
    how = mapping(identifiers={"email": Column("mail")})
    data = {"mail": ["a@b.co", "A@b.co", "c@d.co", "c@d.co"]}
    finding = one(how, data, "email_case_twins")
    assert said(finding)[:3] == ("notice", "identifiers.email", 2)
    assert said(one(how, data, "person_repeated"))[2] == 4


@pytest.mark.parametrize(
    ("ids", "code", "severity"),
    [
        (["a@b.co", "x", "c@d.co"], "id_is_email", "notice"),
        (["cio_03000001", "x", "cio_y"], "id_is_cio_id", "warning"),
    ],
)
def test_ids_that_look_like_something_else(ids: list[str], code: str, severity: str) -> None:
    assert said(one(mapping(), {"id": ids}, code))[:3] == (severity, "identifiers.id", 2)
    assert said(one(mapping(), {"id": ids}, code))[-1] == ("2", "4")


def test_people_and_objects_with_several_rows_are_counted_unless_the_newest_is_chosen() -> None:
    data = {"id": ["a", "b", "a", "a"], "at": [1, 2, 3, 4]}
    assert said(one(mapping(), data, "person_repeated")) == (
        *("notice", None, 3),
        "1 person has several rows, 3 rows in all, which are sent in the order of the source",
        ("2", "4", "5"),
    )
    assert one(mapping(order_by=("at",)), data, "person_repeated") is None
    assert one(mapping("track"), data, "person_repeated") is None
    thing = mapping("identify_object", identifiers={}, object={"type": Constant(1), "id": Column("id")})
    assert said(one(thing, data, "person_repeated"))[3].startswith("1 object has several rows, 3 rows in all")


# ---------------------------------------------------------------- in bounded memory


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=40),
    st.integers(1, 7),
    st.sampled_from([10, 1_000]),
    st.sampled_from([1, 1_000_000]),
)
@settings(deadline=None)
def test_keys_are_counted_whether_rows_were_put_together_or_not(
    pairs: list[tuple[int, int]], at_once: int, most: int, in_memory: int
) -> None:
    keys = Keys(most, in_memory)
    for start in range(0, len(pairs), at_once):
        some = pairs[start : start + at_once]
        key, of = (pl.Series(list(numbers), dtype=pl.UInt64) for numbers in zip(*some, strict=True))
        keys.add(pl.Series(range(start, start + len(some)), dtype=pl.Int64), key, of)
    by_key: dict[int, list[int]] = {}
    for key_, of_ in pairs:
        by_key.setdefault(key_, []).append(of_)
    assert keys.every == 1 or most == 10
    held_of = {key: ofs for key, ofs in by_key.items() if key % keys.every == 0}
    assert keys.distinct() == len(held_of) * keys.every
    several = {key: ofs for key, ofs in held_of.items() if len(ofs) > 1}
    disagreeing = {key: ofs for key, ofs in held_of.items() if len(set(ofs)) > 1}
    for found, expected in ((keys.summary().several, several), (keys.summary().disagreeing, disagreeing)):
        counts = len(expected), sum(map(len, expected.values())), sum(len(set(ofs)) for ofs in expected.values())
        assert (found.keys, found.rows, found.contents) == counts
        first = min((at for at, (key, _) in enumerate(pairs) if key in expected), default=None)
        assert found.first[:1] == (() if first is None else (first,))


def test_counts_beyond_the_sample_are_estimated() -> None:
    how = mapping(attributes=attributes(email="mail"))
    n = 40_000
    frame = rows({"id": [str(k) for k in range(n)], "mail": [f"p{k // 2}@b.co" for k in range(n)]})
    snapshot = held(frame)
    ready = compiled(how, snapshot)
    identity = Identity(how, most=4_000)
    for part in snapshot.read(ready.columns, 0):
        identity.observe(ready.mapped(part))
    assert identity.people.every > 1
    assert identity.people.distinct() == pytest.approx(n, rel=0.1)
    (shared,) = identity.findings()
    assert shared.code == "email_shared" and shared.rows == pytest.approx(n, rel=0.1)
    assert shared.words.startswith("about ")


# ---------------------------------------------------------------- names


def test_names_that_collide_within_the_mapping_or_with_another_step() -> None:
    how = mapping(attributes=attributes(Plan="n", plan="n", city="n"))
    words = "'Plan' and 'plan' differ by capitals or white space only; to Customer.io they are different"
    assert said(one(how, {"n": [1]}, "names_collide"))[:4] == ("warning", "attributes.Plan", 0, words)
    other = step(mapping(attributes=attributes(CITY="n")))
    alone = mapping(attributes=attributes(city="n"))
    assert one(alone, {"n": [1]}, "names_collide", beside=StepContext((step(alone),))) is None
    both = StepContext((step(alone), other))
    assert said(one(alone, {"n": [1]}, "names_collide", beside=both))[1] == "attributes.city"
    event = mapping("track", attributes=attributes(city="n"))
    assert one(event, {"n": [1]}, "names_collide", beside=StepContext((step(event), other))) is None


def test_a_person_s_attributes_are_counted_over_all_steps_once() -> None:
    first = mapping(attributes={f"a{n}": Column("n") for n in range(200)})
    second = mapping(attributes={f"a{n}": Column("n") for n in range(150, 301)})
    beside = StepContext((step(first), step(second), step(mapping("track"))))
    words = "the job's steps set 301 attributes, and Customer.io keeps 300 of each person"
    assert said(one(first, {"n": [1]}, "attributes_too_many", beside=beside))[3] == words
    assert one(second, {"n": [1]}, "attributes_too_many", beside=beside) is None
    assert one(first, {"n": [1]}, "attributes_too_many", beside=StepContext((step(first),))) is None


def test_columns_that_differ_by_capitals_only_where_the_mapping_reads_one() -> None:
    how = mapping(attributes=attributes(plan="plan"))
    beside = StepContext(columns=("id", "plan", "PLAN", "x", "X"))
    words = "the source has 'plan' and 'PLAN', and the mapping reads 'plan'"
    assert said(one(how, {"plan": ["a"]}, "columns_collide", beside=beside))[3] == words
    assert one(how, {"plan": ["a"]}, "columns_collide", beside=StepContext(columns=("id", "plan", "x", "X"))) is None


def test_names_of_customer_io_s_own() -> None:
    how = mapping(attributes=attributes(cio_timezone="n", city="n"))
    assert said(one(how, {"n": [1]}, "name_is_customer_io_s"))[1] == "attributes.cio_timezone"


def test_keys_of_nested_values_that_collide() -> None:
    typed = mapping(attributes=attributes(x="x"))
    finding = one(typed, {"x": [{"a": {"Plan": 1, "plan": 2}}, {"a": {"Plan": 1, "plan": 2}}]}, "keys_collide")
    assert said(finding)[:3] == ("notice", "attributes.x", 2)
    assert one(typed, {"x": [[{"Plan": 1, "flat": 2}]]}, "keys_collide") is None
    text = mapping(attributes={"x": column("x", "json")})
    finding = one(text, {"x": ['{"a": 1}', '[{"b": 1, "B": 2}]', None, '{"c": {"d": 1, "d ": 2}}']}, "keys_collide")
    assert said(finding)[2:] == (
        2,
        "of the first 3, 2 values have keys that differ by capitals or white space only; they differ in segments",
        ("3", "5"),
    )
    many = ['{"a": 1}'] * JSON_VALUES_READ + ['{"a": 1, "A": 2}']
    assert [f.code for f in findings(text, rows({"x": many}))] == []


# ---------------------------------------------------------------- limits


def test_values_near_their_limit_are_told_and_those_over_it_are_rejects_already() -> None:
    how = mapping(attributes=attributes(x="x"))
    finding = one(how, {"x": ["a" * 900, "b" * 901, "c" * 1_000, "d" * 1_001]}, "value_near_limit")
    assert said(finding) == (
        *("notice", "attributes.x", 2),
        "2 values have over 90% of the 1,000 bytes allowed",
        ("3", "4"),
    )
    event = mapping("track", event=Column("what"), attributes=attributes(x="x"))
    finding = one(event, {"what": ["é" * 46, "é" * 45], "x": ["a" * 950] * 2}, "value_near_limit")
    assert said(finding)[1:3] == ("event", 1)
    assert said(one(mapping(), {"id": ["x" * 140, "y"]}, "value_near_limit"))[1] == "identifiers.id"


def test_items_near_their_limit() -> None:
    event = mapping("track", attributes=attributes(x="x"))
    finding = one(event, {"x": ["a" * 28_000, "b" * 30_000, "c" * 40_000]}, "item_near_limit")
    assert said(finding)[1:] == (None, 1, "1 item has over 90% of the 32,000 bytes allowed", ("3",))


@pytest.mark.parametrize(
    ("lengths", "cut"),
    [
        ([255] * 5 + [3] * 5, 5),
        ([255] * 4 + [3] * 5, 0),  # by chance
        ([255] * 5 + [256] + [3] * 5, 0),  # some are longer
        ([64] * 9, 0),  # all are: digests
        ([77] * 5 + [3] * 5, 0),
        ([3] * 5 + [50] * 5, 5),
    ],
)
def test_texts_that_end_where_databases_cut_them(lengths: Sequence[int], cut: int) -> None:
    how = mapping(attributes=attributes(x="x"))
    finding = one(how, {"x": ["é" * length for length in lengths]}, "value_cut")
    assert (finding.rows if finding else 0) == cut
    if finding:
        characters = max(lengths)
        assert finding.words == f"5 values have exactly {characters} characters, and none has more"


# ---------------------------------------------------------------- kinds


def test_json_that_is_of_several_kinds() -> None:
    how = mapping(attributes={"x": column("x", "json")})
    finding = one(how, {"x": ["1", "-2.5", '"3"', "null", None, "7"]}, "kinds_mixed")
    assert said(finding) == ("warning", "attributes.x", 1, "numbers in 3 rows, text in 1 row", ("4",))
    assert one(how, {"x": ["1", "null", None]}, "kinds_mixed") is None
    finding = one(how, {"x": ["true", "[1]", '{"a": 1}']}, "kinds_mixed")
    assert said(finding)[3] == "true or false in 1 row, objects in 1 row, lists in 1 row"


def test_text_that_is_mostly_numbers() -> None:
    how = mapping(attributes=attributes(x="x"))
    finding = one(how, {"x": ["1", "2.5", "n/a", None, "-3e2", "nan"]}, "numbers_mixed")
    words = "2 values are not numbers, but 3 others are; all are sent as text"
    assert said(finding) == ("notice", "attributes.x", 2, words, ("4", "7"))
    assert one(how, {"x": ["1", "a", "b"]}, "numbers_mixed") is None
    assert one(how, {"x": ["1", "2", None]}, "numbers_mixed") is None


def test_columns_that_were_of_another_kind_in_the_last_run() -> None:
    how = mapping(attributes=attributes(x="x"))
    before = {"id": "text", "x": "numbers", "other": "text"}
    beside = StepContext(kinds_before=before, kinds={"id": "text", "x": "text", "other": "numbers", "new": "text"})
    words = "column 'x' contained numbers in the last run, and now text; a run would stop"
    assert said(one(how, {"x": ["1"]}, "column_changed", beside=beside))[3] == words
    words = "the source has columns that it did not have in the last run: 'new'"
    assert said(one(how, {"x": ["1"]}, "columns_appeared", beside=beside))[3] == words
    first = StepContext(kinds={"id": "text", "x": "text"})
    assert findings(how, rows({"x": ["1"]}), first) == []


@pytest.mark.parametrize(
    ("values", "unclear"),
    [
        (["true", "FALSE", "1", "0", "", None], 0),
        (["yes", "true", "no"], 2),
        ([1, 0, 2], 1),
        ([True, False, None], 0),
    ],
)
def test_an_unsubscribed_that_is_neither_true_nor_false_leaves_people_subscribed(
    values: list[Any], unclear: int
) -> None:
    finding = one(mapping(attributes=attributes(unsubscribed="u")), {"u": values}, "unsubscribed_unclear")
    assert (finding.rows if finding else 0) == unclear
    assert finding is None or finding.severity == "warning"
    assert one(mapping("track", attributes=attributes(unsubscribed="u")), {"u": values}, "unsubscribed_unclear") is None


# ---------------------------------------------------------------- sums


def test_no_finding_says_a_value() -> None:
    canary = "Canary0"
    how = mapping(attributes={"email": Column("mail"), "x": Column("x"), "j": column("j", "json")})
    frame = rows(
        {
            "id": [canary, canary.upper(), f"cio_{canary}", f"{canary}@b.co"],
            "mail": [f"{canary}@b.co"] * 4,
            "x": [canary * 130] * 4,
            "j": [f'"{canary}"', "1", f'{{"{canary}": 1, "{canary.upper()}": 2}}', "2"],
        }
    )
    came = findings(how, frame)
    assert {f.code for f in came} >= {"email_shared", "id_case_twins", "id_is_email", "id_is_cio_id", "kinds_mixed"}
    assert canary.lower() not in repr(came).lower()


def test_warnings_come_first_and_then_what_concerns_most_rows() -> None:
    data = {"id": ["a", "a", "A", "x@y"], "mail": ["a@b.co", "a@b.co", "a@b.co", "c@d.co"]}
    came = [(f.severity, f.rows) for f in findings(PERSON, rows(data))]
    assert came == [("warning", 3), ("warning", 2), ("notice", 2), ("notice", 1)]


def test_every_finding_has_its_words_on_what_to_do() -> None:
    assert all(kind.remedy and kind.remedy[0].islower() and not kind.remedy.endswith(".") for kind in FINDINGS.values())


@pytest.mark.parametrize(
    ("rate", "requests", "seconds"),
    [(100.0, {0: 3, 1: 5}, 1.2), (1.0, {0: 3, 1: 5}, 8.0), (None, {0: 4}, 1.0), (100.0, {}, 0.0)],
)
def test_the_forecast_is_the_longer_of_rate_and_lanes(
    rate: float | None, requests: dict[int, int], seconds: float
) -> None:
    identity = Identity(mapping())
    identity.people.add(pl.Series([0, 1, 2]), pl.Series([7, 8, 7], dtype=pl.UInt64))
    destination = Destination(
        "track", "", dict.fromkeys(("site_id", "api_key"), SECRET), requests_per_second=rate, lanes=2
    )
    assert forecast([identity], 3, requests, 999, destination) == Forecast(
        people=2,
        people_exact=True,
        events=3,
        requests=sum(requests.values()),
        bytes=999,
        seconds=seconds,
        requests_per_second=rate,
        lanes=2,
        latency_s=0.25,
    )


@pytest.mark.parametrize("text", ["null", "undefined", "NaN", "None", "#N/A", "nil"])
@pytest.mark.parametrize("target", ["identifiers.id", "object.id", "device.token", "relationships[0].object.id"])
def test_a_word_for_nothing_as_an_id_is_a_warning(text: str, target: str) -> None:
    how = {
        "identifiers.id": mapping(),
        "object.id": mapping("identify_object", identifiers={}, object={"type": Constant("1"), "id": Column("id")}),
        "device.token": mapping(
            "add_device",
            identifiers={"id": Column("x")},
            device={"token": Column("id"), "platform": Constant("ios")},
        ),
        "relationships[0].object.id": mapping(
            identifiers={"id": Column("x")}, relationships=[{"object": {"type": Constant("1"), "id": Column("id")}}]
        ),
    }[target]
    finding = one(how, {"id": ["1", text], "x": ["a", "b"]}, "placeholders")
    assert finding is not None and (finding.severity, finding.field, finding.rows) == ("warning", target, 1)


def test_ids_that_a_spreadsheet_has_shortened() -> None:
    ids = ["1.23457E+15", "1,23457E+15", "1e+16", "9E15", "1.5", "e1", "12E3", "abc"]
    finding = one(mapping(), {"id": ids}, "id_is_shortened")
    assert said(finding)[:3] == ("warning", "identifiers.id", 4)


def test_ids_that_a_column_with_nulls_has_made_decimals() -> None:
    ids = ["42.0", "7.00", "42", "4.5", "1.0.0", "v1.0", "1e3.0", "0.0"]
    finding = one(mapping(), {"id": ids}, "id_is_decimal")
    assert said(finding)[:3] == ("warning", "identifiers.id", 3)


def test_codes_with_leading_zeros_are_no_numbers() -> None:
    how = mapping(attributes=attributes(zip="zip"))
    assert one(how, {"zip": ["01067", "75001", "10115", "2A004"]}, "numbers_mixed") is None


def test_phone_numbers_that_no_message_would_reach() -> None:
    how = mapping(attributes=attributes(phone="phone"))
    finding = one(how, {"phone": ["+33612345678", "06 12 34 56 78", None, "0033612345678"]}, "phone_not_e164")
    assert said(finding)[:4] == ("notice", "attributes.phone", 2, "2 phone numbers are not in E.164 form")
    assert one(how, {"phone": [33612345678]}, "phone_not_e164") is not None
    assert one(mapping("track", attributes=attributes(phone="phone")), {"phone": ["1"]}, "phone_not_e164") is None
