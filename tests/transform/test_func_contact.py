"""Phone numbers, addresses and zones are normalised to one form or rejected, without a guess."""

from __future__ import annotations

import re
from typing import Any

import idna
import phonenumbers
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.transform.checks import E164_SHAPE, EMAIL_SHAPE
from cio_etl.transform.functions import apply, parse_call
from cio_etl.transform.timestamps import is_zone
from tests.functions import made_of, mapped

# ---------------------------------------------------------------- phone numbers

REGIONS = sorted(region for region in phonenumbers.SUPPORTED_REGIONS if phonenumbers.example_number(region))
FORMATS = [
    phonenumbers.PhoneNumberFormat.E164,
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.NATIONAL,
    phonenumbers.PhoneNumberFormat.RFC3966,
]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_region_s_own_number_is_read_in_every_form(kind: int) -> None:
    """What the library gives as examples, in all of its forms; the region is a column of its own."""
    rows = []
    for region in REGIONS:
        number = phonenumbers.example_number(region)
        assert number is not None
        rows.append({"phone": phonenumbers.format_number(number, kind), "region": region})
    made = mapped(rows, "phone")
    expected = [
        phonenumbers.format_number(phonenumbers.parse(row["phone"], row["region"]), phonenumbers.PhoneNumberFormat.E164)
        for row in rows
    ]
    assert made == expected
    assert all(re.fullmatch(E164_SHAPE, number) for number in made if len(number) >= 8)


@given(st.text(alphabet="0123456789+() -./x;ext=\u00a0", max_size=25), st.sampled_from(["FR", "US", "DE", None]))
@settings(max_examples=300, deadline=None)
def test_whatever_is_read_is_a_valid_number_whose_last_digits_were_written(text: str, region: str | None) -> None:
    (made,) = mapped([text], {"phone": {"region": region}})
    if made is not None:
        number = phonenumbers.parse(made, None)
        assert phonenumbers.is_valid_number(number)
        assert re.sub(r"\D", "", text).endswith(str(number.national_number)[-6:])


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("06 12 34 56 78", "+33612345678"),
        ("0033612345678", "+33612345678"),
        ("33612345678", "+33612345678"),
        ("tel:+33612345678", "+33612345678"),
        ("０６１２３４５６７８", "+33612345678"),
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("06 12 34 56 78 x12", None),
        ("+33612345678;ext=4", None),
        ("06 12 34 56 78 x345678", None),
        ("06 12 34 56 78 / x4567", None),
        ("+33612345678;isub=12", None),
        ("06 12 34 56 78 / 06 98 76 54 32", None),
        ("06 12 34 56 78 ou 06 98 76 54 32", None),
        ("06 12 34 56", None),
        ("n/a", None),
        ("", None),
        ("0" * 300, None),
    ],
)
def test_numbers_of_a_region(text: str, made: str | None) -> None:
    assert made_of([text], {"phone": "FR"}) == ([made], [made is None])


@pytest.mark.parametrize("check", ["valid", "possible"])
@pytest.mark.parametrize(
    "text",
    [
        "30901820.0",  # as pandas writes a column of numbers in which some are missing
        "4930901820,0",
        "0170 1234567.00",
        "3.0901820E7",
        "3.36123456E10",
        "-30901820",
        "\u221230901820",
        "03090182O0",  # an O for a zero
        "l5550123",
        "030 901820B",
        "030 901820 W",
        "030901820*5",
    ],
)
@pytest.mark.parametrize("region", ["DE", "FR"])
def test_what_the_library_reads_in_part_is_no_number(region: str, text: str, check: str) -> None:
    assert made_of([text], {"phone": {"region": region, "check": check}}) == ([None], [True])


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Tel. 030 901820", "+4930901820"),
        ("mobil: 0170 1234567", "+491701234567"),
        ("030.901820", "+4930901820"),
        ("030/901820-0", "+49309018200"),
        ("030 901820.", "+4930901820"),
        ("(030) 90 18 20", "+4930901820"),
    ],
)
def test_words_before_a_number_and_signs_within_it_are_read(text: str, made: str) -> None:
    assert mapped([text], {"phone": "DE"}) == [made]


def test_possible_is_less_than_valid() -> None:
    assert mapped(["+1 555 555 5555"], "phone") == [None]
    assert mapped(["+1 555 555 5555"], {"phone": {"check": "possible"}}) == ["+15555555555"]


def test_a_number_column_is_read_and_categories_are_text() -> None:
    assert mapped([612345678, None], {"phone": "FR"}) == ["+33612345678", None]
    assert mapped(["0612345678"], {"phone": "FR"}, pl.Categorical) == ["+33612345678"]


def test_the_region_of_another_column_counts_and_the_argument_where_there_is_none() -> None:
    rows = [{"p": "030 901820", "c": region} for region in ("DE", " de ", None, "Germany")]
    assert mapped(rows, "phone") == ["+4930901820", "+4930901820", None, None]
    assert mapped(rows, {"phone": "DE"}) == ["+4930901820"] * 4
    made = made_of([{"p": None, "c": "DE"}, {"p": "x", "c": "DE"}, {"p": None, "c": None}], "phone")
    assert made == ([None, None, None], [False, True, False])


@pytest.mark.parametrize(
    ("dtype", "told"),
    [
        (
            pl.Float64(),
            "phone: the column holds numbers, and a phone number is text or whole: put `cast: integer` before it",
        ),
        (pl.Struct({"a": pl.String}), "phone: it takes the number and its region, and 1 columns are given"),
        (
            pl.Struct({"a": pl.String, "b": pl.Int64}),
            "phone: the region's column holds whole numbers, and must be text",
        ),
    ],
)
def test_a_column_that_holds_no_numbers_is_refused(dtype: pl.DataType, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        apply(pl.col("v"), dtype, parse_call("phone"))
    assert str(caught.value) == told


@pytest.mark.parametrize("region", ["fr", "UK", "France", "001"])
def test_a_region_that_is_none_is_told(region: str) -> None:
    with pytest.raises(
        ValueError, match=r"^phone: 'region' must be a country's two capitals in ISO 3166, as FR or US$"
    ):
        parse_call({"phone": region})


# ---------------------------------------------------------------- e-mail addresses


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("ada@example.org", "ada@example.org"),
        ("\u00a0 Ada@EXAMPLE.org\n", "Ada@example.org"),
        ("o'neil+x=1@a-b.example", "o'neil+x=1@a-b.example"),
        ("ada@straße.example", "ada@xn--strae-oqa.example"),
        ("ada@日本.example", "ada@xn--wgv71a.example"),
        ("ada@ＥＸＡＭＰＬＥ.org", "ada@example.org"),
        ("e\u0301va@example.org", "éva@example.org"),
        ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("x" * 64 + "@example.org", "x" * 64 + "@example.org"),
        ("x" * 65 + "@example.org", None),
        ("ada@" + "a" * 64 + ".org", None),
        ("ada@" + "abcdefghi." * 25 + "org", None),
        ("ada", None),
        ("@example.org", None),
        ("ada@", None),
        ("ada@example", None),
        ("a@b@example.org", None),
        ("a..b@example.org", None),
        (".a@example.org", None),
        ("a.@example.org", None),
        ("ada@-a.org", None),
        ("ada@a-.org", None),
        ("ada@a..org", None),
        ("ada@example.org.", None),
        ("ada@127.0.0.1", None),
        ("ada@[127.0.0.1]", None),
        ("Ada <ada@example.org>", None),
        ("ada@example.org, eva@example.org", None),
        ("mailto:ada@example.org", None),
        ('"a b"@example.org', None),
        ("a b@example.org", None),
        ("é\u2003x@example.org", None),
        ("ada@☃.example", None),
        ("", None),
    ],
)
def test_addresses(text: str, made: str | None) -> None:
    assert made_of([text], "email") == ([made], [made is None])


@given(st.text(alphabet="aZ0.+-_@ éß日\u0301\u200b", max_size=20))
@settings(max_examples=300, deadline=None)
def test_what_is_taken_for_an_address_keeps_its_form_and_is_one_for_the_api(text: str) -> None:
    (made,) = mapped([text], "email")
    if made is not None:
        assert mapped([made], "email") == [made]
        assert pl.Series([made]).str.contains(EMAIL_SHAPE).item()
        domain = made.rpartition("@")[2]
        assert domain.isascii() and domain == domain.lower()
        assert idna.decode(domain)


def test_gmail_s_addresses_are_one_only_when_asked_for() -> None:
    addresses = ["A.da+news@GoogleMail.com", "ada@gmail.com", "a.da+news@example.org", "+news@gmail.com"]
    assert mapped(addresses, {"email": {"gmail": True}}) == ["ada@gmail.com", "ada@gmail.com", addresses[2], None]
    assert mapped(addresses[:1], "email") == ["A.da+news@googlemail.com"]


# ---------------------------------------------------------------- time zones


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("EUROPE/PARIS", "Europe/Paris"),
        (" America/Argentina/Buenos Aires ", "America/Argentina/Buenos_Aires"),
        ("America/Port-au-Prince", "America/Port-au-Prince"),
        ("Etc/GMT+5", "Etc/GMT+5"),
        ("us/eastern", "US/Eastern"),
        ("Eastern Standard Time", "America/New_York"),
        ("romance standard time", "Europe/Paris"),
        ("gmt", "Etc/UTC"),
        ("JST", "Asia/Tokyo"),
        *((several, None) for several in ("EST", "MST", "HST", "CST", "PST", "IST", "BST", "EDT", "AST", "SST")),
        *((offset, None) for offset in ("+01:00", "UTC+1", "GMT+2", "GMT0", "-5", "UTC+01:00")),
        *((no_zone, None) for no_zone in ("", "Paris", "Europe/", "Europe/Nowhere", "local", "../etc/passwd")),
    ],
)
def test_zones(text: str, made: str | None) -> None:
    assert made_of([text], "timezone") == ([made], [made is None])


def test_every_zone_of_windows_has_a_name_that_polars_knows() -> None:
    from tzlocal.windows_tz import win_tz

    made: list[Any] = mapped(sorted(win_tz), "timezone")
    assert len(made) > 100 and all(is_zone(name) for name in made)
