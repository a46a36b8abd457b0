"""Counts of what each column's values look like, from one pass over the first rows of a snapshot; never values.

A sign is what a value may look like: an e-mail address, a whole number, JSON; dates are looked for in dates/. Where
`apply` has a function for it, the function itself is the judge: what is proposed is what a run can read. A sign that
none of a column's first values has is not looked for any further, unless its count is reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from cio_etl.apis import OPERATIONS
from cio_etl.model import FAULT, Call, Snapshot
from cio_etl.propose.nested import Member
from cio_etl.transform.checks import E164_SHAPE, EMAIL_SHAPE, MAX_EVENT_NAME_BYTES, MAX_IDENTIFIER_BYTES
from cio_etl.transform.functions import apply
from cio_etl.transform.functions.any_value import BOOLEAN_LANGUAGES
from cio_etl.transform.functions.define import kind_of

MAX_ROWS = 200_000
MAX_CELLS = 10_000_000  # of 8 bytes each: 80 MB
MIN_ROWS = 1_000

_CELLS = 500_000  # that are counted together
_ENOUGH = 1_000  # values, before a sign that none of them has is dropped
_REPORTED = frozenset({"email", "e164", "phone"})  # their counts are reported where few values have them, too

# Words that exports write for an empty field; a column with nothing else is empty.
NULL_WORDS = ("NULL", "null", r"\N", "N/A", "n/a", "#N/A", "NaN", "nan", "(null)", "<null>")

_IP = (
    r"^(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:\.(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}"
    r"|(?:[0-9A-Fa-f]{0,4}:){3,7}[0-9A-Fa-f]{0,4})$"
)
_SECRET = (  # nosec B105 # a pattern
    r"^\$(?:2[abxy]|argon2(?:id|i|d)|pbkdf2[a-z0-9-]*|scrypt|5|6)\$|^eyJ[\w-]+\.[\w-]+\.|^-----BEGIN "
    r"|^(?:sk|pk|rk)_(?:live|test)_|^gh[pousr]_\w{20}|^xox[abprs]-|^AKIA[0-9A-Z]{16}$"
)


@dataclass(frozen=True, slots=True)
class Look:
    """The counts of one column. `signs` counts the filled values that have a sign; dropped signs are not included.

    `member` is set where the values are members of the objects in a column.
    """

    name: str
    dtype: pl.DataType
    rows: int
    filled: int  # neither null nor blank, nor a word for null
    distinct: int | None  # distinct values; None: such a column cannot be a key
    signs: Mapping[str, int]
    blank: int = 0  # empty or only white space, and not null: a function that converts rejects such a value
    null_words: frozenset[str] = frozenset()
    in_null_words: int = 0
    member: Member | None = None

    @property
    def column(self) -> str:
        """The source's column."""
        return self.name if self.member is None else self.member.column

    @property
    def label(self) -> str:
        """The name that indicates what the values are: the column's, or the member's."""
        return self.name if self.member is None else self.member.key

    def count(self, sign: str) -> int:
        return self.signs.get(sign, 0)

    def share(self, sign: str) -> float:
        return self.count(sign) / self.filled if self.filled else 0.0

    @property
    def is_text(self) -> bool:
        return kind_of(self.dtype) == "text" or isinstance(self.dtype, pl.Categorical | pl.Enum)

    @property
    def is_key(self) -> bool:
        """Filled in every row, and different in each."""
        return self.distinct == self.filled == self.rows


@dataclass(frozen=True, slots=True)
class Looks:
    """The counts of all columns, over `rows` readable rows of a snapshot of `of_rows`."""

    rows: int
    of_rows: int
    faulty: int  # rows that could not be read
    columns: tuple[Look, ...]

    @property
    def partly(self) -> bool:
        return self.rows + self.faulty < self.of_rows


def look_at(
    snapshot: Snapshot,
    words_for_null: bool = False,
    max_rows: int = MAX_ROWS,
    members: Mapping[str, Member] | None = None,
) -> Looks:
    """The counts of every column over the first `max_rows` rows, or fewer of a very wide source.

    With `words_for_null`, texts such as NULL and n/a stand for nothing, and are counted as such. `members` are the
    columns of the snapshot that hold members of objects.
    """
    names = list(snapshot.schema)
    counts = [_Counts(name, snapshot.schema[name], (members or {}).get(name)) for name in names]
    wanted = rows_to_read(snapshot, max_rows)
    rows = faulty = 0
    for frame in first_frames(snapshot, names, wanted):
        sound = frame.filter(pl.col(FAULT).is_null())
        rows, faulty = rows + sound.height, faulty + frame.height - sound.height
        _count(counts, sound, words_for_null)
    return Looks(rows, snapshot.rows, faulty, tuple(column.look(rows) for column in counts))


def distinct_rows(snapshot: Snapshot, names: Sequence[str], max_rows: int = MAX_ROWS) -> tuple[int, int]:
    """How many different combinations of values the columns have, and how many rows were read."""
    hashes: list[npt.NDArray[np.uint64]] = []
    for frame in first_frames(snapshot, names, rows_to_read(snapshot, max_rows)):
        sound = frame.filter(pl.col(FAULT).is_null())
        hashes.append(sound.select(cs.by_name(*names)).hash_rows().to_numpy())
    every = np.concatenate(hashes or [np.empty(0, np.uint64)])
    return len(np.unique(every)), len(every)


def rows_to_read(snapshot: Snapshot, max_rows: int = MAX_ROWS) -> int:
    """The number of rows to read: fewer of a wide source."""
    return min(max_rows, max(MIN_ROWS, MAX_CELLS // max(len(snapshot.schema), 1)))


def first_frames(snapshot: Snapshot, names: Sequence[str], rows: int) -> Iterator[pl.DataFrame]:
    """Frames of the first `rows` rows."""
    for frame in snapshot.read(names, 0):
        yield frame.head(rows)
        rows -= frame.height
        if rows <= 0:
            return


def cleaned(raw: pl.Expr, dtype: pl.DataType, words_for_null: bool) -> pl.Expr:
    """A column's values without the white space around them; null where it is empty, or a word for null."""
    if isinstance(dtype, pl.Categorical | pl.Enum):
        raw, dtype = raw.cast(pl.String), pl.String()
    if not isinstance(dtype, pl.String):
        return raw
    text = raw.str.strip_chars()
    nothing = ["", *NULL_WORDS] if words_for_null else [""]
    return pl.when(text.is_in(nothing).not_()).then(text)


# ---------------------------------------------------------------- signs of text


def _readable(name: str, **arguments: Any) -> Callable[[pl.Expr], pl.Expr]:
    """Whether a function of `apply` can read a text."""
    return lambda text: apply(text, pl.String(), Call(name, arguments)).is_not_null()


def _matches(pattern: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: text.str.contains(pattern)


def _opaque(text: pl.Expr) -> pl.Expr:
    """Whether a text looks like a key or token: long, no spaces, with lower case, upper case and digits."""
    parts = ("^[A-Za-z0-9+/_=.~-]{24,}$", "[a-z]", "[A-Z]", "[0-9]")
    return pl.all_horizontal(text.str.contains(part) for part in parts)


def _card(text: pl.Expr) -> pl.Expr:
    """Whether a text is a card number, by its check digit (ISO/IEC 7812: Luhn)."""
    digits = text.str.replace_all("[ -]", "")
    total = pl.lit(0, pl.Int64)
    for place in range(16):
        digit = digits.str.slice(15 - place, 1).cast(pl.Int64, strict=False)
        doubled = digit * 2 - pl.when(digit > 4).then(9).otherwise(0)
        total = total + (doubled if place % 2 else digit)
    return digits.str.contains("^[3-6][0-9]{15}$") & (total % 10 == 0)


_SIGNS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "email": _matches(EMAIL_SHAPE),
    "e164": _matches(E164_SHAPE),
    "phone": _matches(r"^\+?[0-9(][0-9 ()./-]{5,18}[0-9]$"),
    "integer": _readable("cast", to="integer"),
    "number": _readable("cast", to="number"),
    "boolean": _readable("cast", to="boolean"),
    **{f"boolean_{language}": _readable("boolean", language=language) for language in BOOLEAN_LANGUAGES},
    "comma": _matches(r"^[+-]?(?:[0-9]+|[0-9]{1,3}(?:[. ][0-9]{3})+),[0-9]+$"),
    "decimal_comma": _matches(r"^[+-]?(?:[0-9]+|[0-9]{1,3}(?:[. ][0-9]{3})+)(?:,[0-9]+)?$"),
    "point": _matches(r"^[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?$"),
    "decimal_point": _matches(r"^[+-]?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+)?$"),
    "country": _matches("^[A-Za-z]{2}$"),
    "json": lambda text: text.str.contains(r"(?s)^[\[{].*[\]}]$") & _readable("json")(text),
    "uuid": _matches(r"(?i)^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$"),
    "ip": _matches(_IP),
    "iban": _matches(r"^[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?$"),
    "card": _card,
    "excel_text": _matches(r"^'[+0-9]"),
    "secret": _matches(_SECRET),
    "opaque": _opaque,
    "prose": _matches(r"(?:\S+\s+){4}\S"),
}

# Counted over all values: a single one is enough to change the proposal.
_ALWAYS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "zeros": _matches(r"^[+-]?0[0-9]"),
    "digit": _matches("^[01]$"),
    "letter": _matches("^.$"),
    "thousands": _matches(r"[0-9]\.[0-9]{3}\b.*,"),
    "spaced": _matches(r"[0-9] [0-9]{3}\b.*,"),
    "long": lambda text: text.str.len_bytes() > (OPERATIONS["identify"].max_value_bytes or 0),
    "long_name": lambda text: text.str.len_bytes() > MAX_EVENT_NAME_BYTES,
    "long_key": lambda text: text.str.len_bytes() > MAX_IDENTIFIER_BYTES,
}


# ---------------------------------------------------------------- one column


@dataclass(slots=True)
class _Counts:
    """The counts of one column so far."""

    name: str
    dtype: pl.DataType
    member: Member | None = None
    filled: int = 0
    blank: int = 0
    in_null_words: int = 0
    null_words: set[str] = field(default_factory=set)
    signs: dict[str, int] = field(default_factory=dict)
    hashes: list[npt.NDArray[np.uint64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.is_text:
            self.signs = dict.fromkeys((*_SIGNS, *_ALWAYS, "padded"), 0)

    @property
    def is_text(self) -> bool:
        return isinstance(self.dtype, pl.String | pl.Categorical | pl.Enum)

    @property
    def may_be_key(self) -> bool:
        return self.is_text or self.dtype.is_integer() or isinstance(self.dtype, pl.Date | pl.Datetime | pl.Boolean)

    def take(self, values: pl.Series) -> None:
        """Counts the values of a column that is no text."""
        values = values.drop_nulls()
        self.filled += values.len()
        if self.may_be_key:
            self.hashes.append(values.hash().to_numpy())

    def take_texts(self, counted: Mapping[str, int], hashes: npt.NDArray[np.uint64]) -> None:
        """Adds what was counted in a frame of texts, and the hashes of the filled ones."""
        self.filled += counted["filled"]
        self.blank += counted["blank"]
        self.hashes.append(hashes)
        for sign in self.signs:
            self.signs[sign] += counted[sign]
        if self.filled >= _ENOUGH:
            absent = [sign for sign in self.signs.keys() & _SIGNS.keys() - _REPORTED if not self.signs[sign]]
            for sign in absent:
                del self.signs[sign]

    def look(self, rows: int) -> Look:
        distinct = len(np.unique(np.concatenate(self.hashes or [np.empty(0, np.uint64)]))) if self.may_be_key else None
        return Look(
            name=self.name,
            dtype=self.dtype,
            rows=rows,
            filled=self.filled,
            distinct=distinct,
            signs=dict(self.signs),
            blank=self.blank,
            member=self.member,
            null_words=frozenset(self.null_words),
            in_null_words=self.in_null_words,
        )


def _count(counts: Sequence[_Counts], frame: pl.DataFrame, words_for_null: bool) -> None:
    """Adds a frame to the counts of its columns."""
    alike: defaultdict[tuple[str, ...], list[_Counts]] = defaultdict(list)
    for column in counts:
        if column.is_text:
            alike[tuple(column.signs)].append(column)
        else:
            column.take(frame.get_column(column.name))
    if frame.is_empty():
        return
    at_once = max(1, _CELLS // frame.height)
    for signs, columns in alike.items():
        for first in range(0, len(columns), at_once):
            _count_texts(columns[first : first + at_once], signs, frame, words_for_null)


def _count_texts(columns: Sequence[_Counts], signs: tuple[str, ...], frame: pl.DataFrame, words_for_null: bool) -> None:
    """Adds columns of text for which the same signs are counted.

    They stand one below the other: the expressions of all signs, which are hundreds, are then made and planned once
    and not for each column.
    """
    raw = pl.concat(frame.get_column(column.name).cast(pl.String).alias("raw") for column in columns)
    number = pl.Series("n", np.repeat(np.arange(len(columns), dtype=np.uint32), frame.height))
    texts = pl.DataFrame([number, raw]).with_columns(value=cleaned(pl.col("raw"), pl.String(), words_for_null))
    has = {sign: _expression(sign) for sign in ("filled", "blank", *signs)}
    counted = texts.select("n", **has).group_by("n", maintain_order=True).sum()
    hashes = texts["value"].hash().to_numpy().reshape(len(columns), -1)
    filled = texts["value"].is_not_null().to_numpy().reshape(len(columns), -1)
    for column, of_column, hashed, is_filled in zip(
        columns, counted.iter_rows(named=True), hashes, filled, strict=True
    ):
        column.take_texts(of_column, hashed[is_filled])
    if words_for_null:
        words = texts.select("n", word=pl.col("raw").str.strip_chars()).filter(pl.col("word").is_in(NULL_WORDS))
        for n, word, times in words.group_by("n", "word").len().iter_rows():
            columns[n].null_words.add(word)
            columns[n].in_null_words += times


@cache
def _expression(sign: str) -> pl.Expr:
    """Whether a row of texts has the sign."""
    raw, value = pl.col("raw"), pl.col("value")
    match sign:
        case "filled":
            return value.is_not_null()
        case "blank":
            return raw.str.strip_chars() == ""
        case "padded":
            return value.is_not_null() & (raw != value)
    return (_SIGNS.get(sign) or _ALWAYS[sign])(value)
