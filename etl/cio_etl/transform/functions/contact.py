"""Functions for phone numbers, e-mail addresses and time zones: each into the one form that Customer.io reads.

Each distinct value is converted once: the libraries that know the rules take one value at a time.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal

import idna
import polars as pl
from tzlocal.windows_tz import win_tz

from cio_etl.model.reasons import EMAIL_MALFORMED, PHONE_UNREADABLE, TIMEZONE_UNKNOWN
from cio_etl.transform.distinct import CACHED_VALUES, by_distinct
from cio_etl.transform.functions.define import function
from cio_etl.transform.invisible import has_unseen, stripped
from cio_etl.transform.nested import fields, in_words

GROUP = "People's data"


# ---------------------------------------------------------------- phone numbers


def _check_phone(*, region: str | None = None, **_: object) -> None:
    from cio_etl.transform.e164 import is_region  # imported here: its library is slow to load, and few mappings need it

    if region is not None and not is_region(region):
        raise ValueError("'region' must be a country's two capitals in ISO 3166, as FR or US")


def _no_number(value: pl.Expr, dtype: pl.DataType, **_: object) -> pl.Expr:
    """True where the row has a region but no number."""
    if not isinstance(dtype, pl.Struct) or not dtype.fields:
        return pl.lit(False)
    number = next(fields(value, dtype))[1]
    return number.is_null()


@function(
    takes=("text", "a number", "several columns"),
    reason=PHONE_UNREADABLE,
    shorthand="region",
    check=_check_phone,
    means_null=_no_number,
)
def phone(
    value: pl.Expr, dtype: pl.DataType, *, region: str | None = None, check: Literal["valid", "possible"] = "valid"
) -> pl.Expr:
    """The phone number in E.164 form, as +33612345678; `region` is the country of numbers that name none.

    Rejected: what is not a number of its country's plan (with `check: possible`, what has a wrong length), a national
    number without a `region`, two numbers, one with an extension, which E.164 cannot express, one with letters among or
    after its digits, and what a program made of a column of numbers: 30901820.0, 3.09E7. With two columns,
    `columns: [phone, country]`, the second is the region, in ISO 3166; where it is null or unknown, `region` applies.

    >>> "06 12 34 56 78" | {phone: FR} -> "+33612345678"
    >>> "+1 (201) 555-0123" | phone -> "+12015550123"
    >>> {"phone": "030 901820", "country": "de"} | phone -> "+4930901820"
    >>> "0612345678" | phone -> rejected
    >>> "12345" | {phone: FR} -> rejected
    >>> "30901820.0" | {phone: DE} -> rejected
    """
    from cio_etl.transform.e164 import e164

    if isinstance(dtype, pl.Struct):
        return _of_two(value, dtype, region, check == "valid")
    return by_distinct(_number_text(value, dtype), lambda text: e164(text, region, check == "valid"), pl.String())


def _of_two(value: pl.Expr, dtype: pl.Struct, region: str | None, valid: bool) -> pl.Expr:
    from cio_etl.transform.e164 import e164, is_region

    if len(dtype.fields) != 2:
        raise ValueError(f"phone: it takes the number and its region, and {len(dtype.fields)} columns are given")
    (_, number, kind), (_, country, country_kind) = fields(value, dtype)
    if isinstance(country_kind, pl.Categorical | pl.Enum):
        country, country_kind = country.cast(pl.String), pl.String()
    if country_kind not in (pl.String, pl.Null):
        raise ValueError(f"phone: the region's column holds {in_words(country_kind)}, and must be text")
    pair = pl.concat_str([country.cast(pl.String).fill_null(""), pl.lit("\0"), _number_text(number, kind)])

    def made(text: str) -> str | None:
        named, _, number = text.partition("\0")
        named = named.strip().upper()
        return e164(number, named if is_region(named) else region, valid)

    return by_distinct(pair, made, pl.String())


def _number_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.String | pl.Null | pl.Categorical | pl.Enum) or dtype.is_integer():
        return value.cast(pl.String)
    raise ValueError(
        f"phone: the column holds {in_words(dtype)}, and a phone number is text or whole: put `cast: integer` before it"
    )


# ---------------------------------------------------------------- e-mail addresses

# What RFC 5321 lets stand before the @ without quotes, and names of letters, digits and hyphens after it.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = rf"^{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+(?:[A-Za-z]{{2,63}}|[xX][nN]--[A-Za-z0-9-]{{1,57}}[A-Za-z0-9])$"
_MAX_ADDRESS, _MAX_LOCAL = 254, 64  # bytes, RFC 5321


@function(takes=("text",), reason=EMAIL_MALFORMED)
def email(value: pl.Expr, dtype: pl.DataType, *, gmail: bool = False) -> pl.Expr:
    """The e-mail address without white space around it, its domain in lower case and in ASCII (IDNA).

    The part before the @ is kept, in Unicode's form NFC; put `lower` after it if case must not count. With `gmail`,
    addresses of gmail.com and googlemail.com lose dots and what follows a plus, and become lower case, because Gmail
    delivers them all alike. Rejected: what is not an address by RFC 5321, without quotes and comments.

    >>> " Ada.Lovelace@Example.ORG " | email -> "Ada.Lovelace@example.org"
    >>> "info@bücher.example" | email -> "info@xn--bcher-kva.example"
    >>> "A.da+news@googlemail.com" | {email: {gmail: true}} -> "ada@gmail.com"
    >>> "ada@example" | email -> rejected
    >>> "ada@@example.org" | email -> rejected
    """
    text = stripped(value)
    ascii_only = ~text.str.contains(r"[^\x00-\x7F]")
    unusual = by_distinct(pl.when(~ascii_only).then(text), _address_in_ascii, pl.String())
    made = pl.when(ascii_only).then(pl.when(text.str.contains(_ADDRESS)).then(text)).otherwise(unusual)
    local, domain = made.str.extract("^(.*)@", 1), made.str.extract("@([^@]*)$", 1).str.to_lowercase()
    if gmail:
        theirs = domain.is_in(["gmail.com", "googlemail.com"])
        bare = local.str.replace(r"\+.*$", "").str.replace_all(".", "", literal=True).str.to_lowercase()
        local = pl.when(theirs).then(pl.when(bare != "").then(bare)).otherwise(local)
        domain = pl.when(theirs).then(pl.lit("gmail.com")).otherwise(domain)
    address = pl.concat_str([local, pl.lit("@"), domain])
    fits = (address.str.len_bytes() <= _MAX_ADDRESS) & (local.str.len_bytes() <= _MAX_LOCAL)
    return pl.when(fits & ~has_unseen(local)).then(address)


def _address_in_ascii(text: str) -> str | None:
    """An address with letters outside ASCII: the domain as IDNA has it, before it NFC; None if it is none."""
    local, at, domain = unicodedata.normalize("NFC", text).rpartition("@")
    named = _domain_in_ascii(domain)
    stand_in = re.sub(
        r"[^\x00-\x7F]", lambda match: "x" if match[0].isprintable() and not match[0].isspace() else " ", local
    )
    return f"{local}@{named}" if at and re.fullmatch(_ADDRESS[1:-1], f"{stand_in}@{named}") else None


@lru_cache(CACHED_VALUES)
def _domain_in_ascii(domain: str) -> str:
    """A domain's name as IDNA 2008 has it, mapped by UTS 46; empty if it is none."""
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return ""


# ---------------------------------------------------------------- time zones

# Abbreviations that mean one zone's clock the world over. EST, CST, IST, BST … mean several, and are refused.
_ABBREVIATIONS = {
    "utc": "Etc/UTC",
    "gmt": "Etc/UTC",
    "z": "Etc/UTC",
    "zulu": "Etc/UTC",
    "cet": "CET",
    "eet": "EET",
    "wet": "WET",
    "msk": "Europe/Moscow",
    "hkt": "Asia/Hong_Kong",
    "jst": "Asia/Tokyo",
    "kst": "Asia/Seoul",
    "pkt": "Asia/Karachi",
    "sgt": "Asia/Singapore",
    "wib": "Asia/Jakarta",
    "sast": "Africa/Johannesburg",
    "akst": "America/Anchorage",
    "akdt": "America/Anchorage",
    "nzst": "Pacific/Auckland",
    "nzdt": "Pacific/Auckland",
}
_SEVERAL = {"est", "mst", "hst", "gmt+0", "gmt-0", "gmt0"}  # in the database under these names, but not meant by people


@function(takes=("text",), reason=TIMEZONE_UNKNOWN)
def timezone(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The time zone's name in the IANA database, as Europe/Paris, from the same in any case, or a name of Windows.

    Blanks may stand for underscores. Abbreviations that mean one zone are read: UTC, GMT, CET, JST and the like.
    Rejected are those that mean several (EST, CST, IST, BST), and offsets (+01:00), which name no zone: clocks change.

    >>> "europe/paris" | timezone -> "Europe/Paris"
    >>> "America/New York" | timezone -> "America/New_York"
    >>> "W. Europe Standard Time" | timezone -> "Europe/Berlin"
    >>> "UTC" | timezone -> "Etc/UTC"
    >>> "CST" | timezone -> rejected
    >>> "+01:00" | timezone -> rejected
    """
    known = _zones()
    return by_distinct(value, lambda text: known.get(_zone_key(text)), pl.String())


def _zone_key(text: str) -> str:
    return re.sub(r"[\s_]+", "_", text.strip()).lower()


@cache
def _zones() -> dict[str, str]:
    """The IANA name of each name that is read, in small letters and with underscores."""
    names = (files("tzdata") / "zones").read_text(encoding="ascii").split()
    iana = {_zone_key(name): name for name in names if name.lower() not in _SEVERAL}
    return {_zone_key(name): zone for name, zone in win_tz.items()} | iana | _ABBREVIATIONS
