"""Runs the tests of mappings: what is sent for their rows, as a run would send it, beside what is expected."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from cio_etl.apis import DEFAULT_API, unsupported
from cio_etl.config import rows_of
from cio_etl.config.examples import compared, differing, outcome_text, payload_differences
from cio_etl.config.mapping_tests import MappingTest, MappingTests
from cio_etl.errors import ConfigError, EtlError, Problem
from cio_etl.model import Bookmark, CsvSource, Example, Snapshot, Step
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted
from cio_etl.run import open_step_source, staging
from cio_etl.run.other_columns import with_other_columns
from cio_etl.transform import columns_of_source, path_of
from cio_etl.validate.preview import PreviewedRow, sent_rows
from cio_etl.validate.yaml_rows import UnfitRows, snapshot_of

Status = Literal["passed", "failed", "error"]  # error: the test could not be run

MOST_LINES = 60  # that are shown of one test
UPDATE = "`cio-etl test --update` writes it"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a test: `words` says what is wrong, `lines` show what was expected (-) and what is sent (+).

    `sent` is what is sent for each row, by API; empty where the test could not be run.
    """

    tests: MappingTests
    test: MappingTest
    status: Status
    words: str = ""
    lines: tuple[str, ...] = ()
    seconds: float = 0.0
    sent: Mapping[str, Sequence[PreviewedRow]] | None = None

    @property
    def place(self) -> str:
        line = "" if self.test.line is None else f":{self.test.line}"
        return f"{self.tests.file}{line}"

    def shown(self) -> list[str]:
        """The lines, cut where there are many."""
        more = len(self.lines) - MOST_LINES
        return [*self.lines[:MOST_LINES], *([f"… and {counted(more, 'line')}"] if more > 0 else [])]


def run_tests(tests: MappingTests, stage: Path) -> Iterator[Outcome]:
    """The outcome of each test of a file; `stage` is an empty folder, for sources that have to be copied."""
    for place, test in enumerate(tests.tests):
        began = time.monotonic()
        try:
            outcome = _run(tests, test, stage / str(place))
        except UnfitRows as error:
            outcome = Outcome(tests, test, "error", str(error))
        except EtlError as error:
            fault = str(error).removeprefix(f"{tests.mapping.file}: ")
            outcome = Outcome(tests, test, "error", f"{fault}; {error.remedy}" if error.remedy else fault)
        yield replace(outcome, seconds=time.monotonic() - began)


def _run(tests: MappingTests, test: MappingTest, stage: Path) -> Outcome:
    step = Step("test", test.source or CsvSource(()), tests.mapping)
    if test.source is None:
        _require_columns(tests, test)
        snapshot = rows_of(snapshot_of(test.rows, tests.types), tests.mapping)
    else:
        snapshot = open_step_source(step, staging(stage, step, Bookmark()))
    if test.is_row and snapshot.rows > 1:
        raise UnfitRows("the list has several entries; write rows: with this one row, and results: of its entries")
    step, _ = with_other_columns(step, snapshot, Bookmark())
    expected = test.expected
    apis = [test.api]
    if expected is not None:
        apis = list(dict.fromkeys(api for result in expected for api in result.payloads or {test.api: None}))
    sent = {api: _sent(tests, step, snapshot, api) for api in apis or [test.api]}
    if test.snapshot is not None:
        words, lines = _against_snapshot(test.snapshot, sent[test.api])
    elif expected is None:
        words, lines = f"nothing is expected; {UPDATE}", _plus(sent[test.api])
    elif len(expected) != len(rows := sent[apis[0]] if apis else sent[test.api]):
        words, lines = f"{counted(len(rows), 'row')}, but {counted(len(expected), 'result')}", _plus(rows)
    else:
        found = list(_differences(expected, sent, test.api))
        words, lines = "; ".join(words for words, _ in found), [line for _, lines in found for line in lines]
    return Outcome(tests, test, "failed" if words else "passed", words, tuple(lines), sent=sent)


def _sent(tests: MappingTests, step: Step, snapshot: Snapshot, api: str) -> list[PreviewedRow]:
    for path, message in unsupported(tests.mapping, api):
        raise ConfigError([Problem(tests.mapping.file, None, path, message)])
    return list(sent_rows(step, snapshot, api))


def _require_columns(tests: MappingTests, test: MappingTest) -> None:
    for number, row in enumerate(test.rows, 1):
        read = columns_of_source(tests.mapping)
        if missing := [name for name in read if name not in row and path_of(name, row) is None]:
            names = ", ".join(repr(name) for name in missing)
            which = f"row {number}" if len(test.rows) > 1 else "the row"
            raise UnfitRows(f"{which} has no {names}, which the mapping uses; add it, with null for no value")


# ---------------------------------------------------------------- results beside results


def _differences(
    expected: Sequence[Example], sent: Mapping[str, Sequence[PreviewedRow]], default: str
) -> Iterator[tuple[str, list[str]]]:
    """What is wrong with each row, and the lines that show it."""
    for place, result in enumerate(expected):
        named = f"row {place + 1}: " if len(expected) > 1 else ""
        for api, payload in (result.payloads or {default: None}).items():
            row = sent[api][place]
            actual = row.result()
            other = f" with api: {api}" if api != DEFAULT_API else ""
            if payload is None:
                wanted = {"rejected": result.rejected} if result.rejected else {"skipped": True}
                if outcome_text(actual) == outcome_text(wanted):
                    continue
                words = f"{outcome_text(wanted)} was expected, but the row is {outcome_text(actual)}"
                lines = [f"- {outcome_text(wanted)}"]
            elif row.item is None:
                words = f"a payload was expected, but the row is {outcome_text(actual)}"
                lines = [f"- {line}" for line in _lines(payload)]
            else:
                if not (paths := list(payload_differences(payload, actual["payload"]))):
                    continue
                raw = json.loads(row.item[:-1], parse_int=Number, parse_float=Number)
                shown = _aligned(payload, compared(payload, actual["payload"]), compared(payload, raw))
                words = f"the payload differs at {', '.join(paths)}"
                lines = _diff(_lines(shown), _lines(compared(payload, raw)))
                yield f"{named}{words}{other}", lines
                continue
            why = f" in {row.field}" if row.field else ""
            lines += _plus([row]) if row.item is not None else [f"+ {outcome_text(actual)}{why}"]
            yield f"{named}{words}{other}", lines


def _against_snapshot(file: Path, sent: Sequence[PreviewedRow]) -> tuple[str, list[str]]:
    try:
        written = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"there is no {file}; {UPDATE}", _plus(sent)
    except (OSError, UnicodeDecodeError):
        return f"{file} cannot be read as UTF-8 text; {UPDATE}", _plus(sent)
    if written == (now := snapshot_text(sent)):
        return "", []
    before, after = written.splitlines(), now.splitlines()
    differing = sum(left != right for left, right in zip(before, after, strict=False)) + abs(len(before) - len(after))
    rows = counted(differing, "row differs", "rows differ")
    return f"{rows} from {file}", _diff(before, after, around=0)


def snapshot_text(sent: Sequence[PreviewedRow]) -> str:
    """The content of a snapshot: a line for each row, with the payload as it is sent, byte for byte."""
    return "".join(f"{row.line()}\n" for row in sent)


class Number(str):
    """A number as the payload writes it, to the last digit."""


def _aligned(expected: Any, exact: Any, raw: Any) -> Any:
    """The expected value in the order and with the spelling of what is sent, where the two are equal.

    `exact` and `raw` are what is sent, with numbers as numbers and as they are written.
    """
    if not list(differing(expected, exact, "")):
        return raw
    if isinstance(expected, dict) and isinstance(exact, dict):
        both = {key: _aligned(expected[key], exact[key], raw[key]) for key in exact if key in expected}
        return both | {key: value for key, value in expected.items() if key not in exact}
    if isinstance(expected, list) and isinstance(exact, list) and len(expected) == len(exact):
        return [_aligned(*three) for three in zip(expected, exact, raw, strict=True)]
    return expected


def _lines(value: Any, indent: str = "", comma: str = "") -> list[str]:
    """JSON, a name or a value a line; short lists and objects on one."""
    if len(flat := _flat(value)) + len(indent) <= 100 and (indent or not isinstance(value, dict)):
        return [f"{flat}{comma}"]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    if not isinstance(value, dict | list):
        return [f"{flat}{comma}"]
    lines = [opening]
    members = list(value.items()) if isinstance(value, dict) else [(None, inner) for inner in value]
    for place, (name, inner) in enumerate(members, 1):
        first, *rest = _lines(inner, f"{indent}  ", "," if place < len(members) else "")
        named = "" if name is None else f"{json.dumps(name, ensure_ascii=False)}: "
        lines += [f"{indent}  {named}{first}", *rest]
    return [*lines, f"{indent}{closing}{comma}"]


def _flat(value: Any) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return (
            f"{{{', '.join(f'{json.dumps(name, ensure_ascii=False)}: {_flat(each)}' for name, each in value.items())}}}"
        )
    if isinstance(value, list):
        return f"[{', '.join(map(_flat, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _plus(sent: Sequence[PreviewedRow]) -> list[str]:
    return [f"+ {row.item[:-1] if row.item is not None else outcome_text(row.result())}" for row in sent]


def _diff(before: Sequence[str], after: Sequence[str], around: int = 2) -> list[str]:
    """The lines that differ, marked - and +, with some around them."""
    lines = difflib.unified_diff(before, after, n=around, lineterm="")
    return [f"{line[0]} {line[1:]}" for line in lines if not line.startswith(("---", "+++", "@@"))]
