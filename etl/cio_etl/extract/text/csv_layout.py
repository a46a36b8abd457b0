"""Detects in the head of a CSV file what divides its fields, and which lines are not part of the table."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cio_etl.model.records import dataclass

SEPARATORS = (",", ";", "\t", "|")  # that are recognised
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel reads and writes it
_MAX_TITLES = 20  # lines above a header
_TABLE = 0.9  # of the records below the header are as wide as it is
_MIN_WIDTH_OF_A_TITLED_TABLE = 3  # a narrower one could be text with commas below a header of one word


@dataclass(frozen=True, slots=True)
class Layout:
    """What divides the fields, how many lines stand above the header as titles, and what begins a comment."""

    separator: str = ","
    skip_lines: int = 0
    comment: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The keys of a `source:` section, each only if it is not the default."""
        return {key: getattr(self, key) for key in self.__slots__ if getattr(self, key) != getattr(_DEFAULT, key)}


_DEFAULT = Layout()


def layout_of(text: str, *, is_cut: bool) -> Layout:
    """The layout of a text; `is_cut` if its last line may be incomplete.

    Excel's line `sep=;` decides the separator. Titles are lines above the header that are not divided, or have most
    fields empty. Comments begin with # and are not divided as the table is.
    """
    lines = text.splitlines(keepends=True)
    lines = lines[:-1] if len(lines) > 2 and is_cut else lines
    for number, line in enumerate(lines[:_MAX_TITLES]):
        if match := _SEP_LINE.fullmatch(line):
            return Layout(match[1], _line_feeds(lines[:number]))
    comment = _comment(lines)
    table = [line if comment is None or not line.startswith(comment) else "\n" for line in lines]
    scores = {separator: _score(table, separator) for separator in SEPARATORS}
    best = max(SEPARATORS, key=lambda separator: scores[separator])
    if scores[best][0] < _TABLE:  # the first line is no header, or not of this table
        below = {separator: _score(table[_titles(table, separator) :], separator) for separator in SEPARATORS}
        best = max(SEPARATORS, key=lambda separator: (below[separator], scores[separator]))
        if below[best] <= (0.0, 0):
            return Layout(comment=comment)
    above = table[: _titles(table, best)]
    skipped = _line_feeds(above) if any(line.strip() for line in above) else 0
    return Layout(best, skipped, comment)


def _line_feeds(lines: Sequence[str]) -> int:
    return "".join(lines).count("\n")


def _comment(lines: Sequence[str]) -> str | None:
    """# if lines begin with it that are not divided as the others are."""
    comment_lines = [line for line in lines if line.startswith("#")]
    others = [line for line in lines if not line.startswith("#") and line.strip()]
    if not comment_lines or not others:
        return None
    separator = max(SEPARATORS, key=lambda each: sum(line.count(each) for line in others))
    usual = Counter(line.count(separator) for line in others).most_common(1)[0][0]
    return "#" if all(line.count(separator) < usual for line in comment_lines) else None


def _records(lines: Sequence[str], separator: str) -> list[tuple[int, list[str]]]:
    """Each record with the number of lines before it; [] where they cannot be read so."""
    reader, records, before = csv.reader(lines, delimiter=separator), [], 0
    try:
        for record in reader:
            records.append((before, record))
            before = reader.line_num
    except csv.Error:
        return []
    return records


def _titles(lines: Sequence[str], separator: str) -> int:
    """How many lines stand above the header; 0 where the first record may be the header."""
    records = [(before, record) for before, record in _records(lines, separator) if record]
    if len(records) < 3:
        return 0
    width = Counter(len(record) for _, record in records).most_common(1)[0][0]
    if width < _MIN_WIDTH_OF_A_TITLED_TABLE:
        return 0
    header = next((n for n, (_, record) in enumerate(records) if _is_header(record, width)), 0)
    above, below = records[:header], records[header:]
    if not header or header > _MAX_TITLES or not all(_is_title(record, width) for _, record in above):
        return 0
    agreeing = sum(len(record) == width for _, record in below)
    return records[header][0] if len(below) > 1 and agreeing >= _TABLE * len(below) else 0


def _is_header(record: Sequence[str], width: int) -> bool:
    return len(record) == width and 2 * sum(bool(field.strip()) for field in record) > width


def _is_title(record: Sequence[str], width: int) -> bool:
    """Whether a line names the table, rather than its columns: one text, or some with most fields empty."""
    filled = sum(bool(field.strip()) for field in record)
    return filled <= 1 or (len(record) == width and 2 * filled <= width)


def _score(lines: Sequence[str], separator: str) -> tuple[float, int]:
    """(share of records as wide as the header, its width); nothing for a header that is not divided."""
    records = [record for _, record in _records(lines, separator) if record]
    width = len(records[0]) if records else 0
    if width < 2:
        return 0.0, 0
    agreeing = sum(len(record) == width for record in records)
    return round(agreeing / len(records), 1), width
