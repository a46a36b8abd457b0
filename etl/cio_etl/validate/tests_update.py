"""Writes what is sent today into files of mapping tests, as their expected results."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cio_etl.apis import APIS
from cio_etl.config.examples import GENERATED
from cio_etl.config.mapping_tests import read_tests
from cio_etl.config.tests_sections import RESULT_KEYS
from cio_etl.config.yaml_edits import Written, with_keys
from cio_etl.config.yaml_file import Loc
from cio_etl.config.yaml_writer import Verbatim, flow, scalar, wrapped
from cio_etl.errors import ConfigError, Problem
from cio_etl.validate.mapping_tests import Outcome, snapshot_text
from cio_etl.validate.preview import PreviewedRow


def update(outcomes: Sequence[Outcome]) -> list[Path]:
    """Writes the results of the failed tests of one file into it, and their snapshots; the files that were written.

    Raises ConfigError when a file cannot be written, or cannot hold a result.
    """
    changes: dict[Loc, dict[str, Written]] = {}
    snapshots: dict[Path, str] = {}
    written: list[Path] = []
    for outcome in outcomes:
        if outcome.status != "failed" or outcome.sent is None or outcome.tests.are_examples:
            continue
        test = outcome.test
        if test.snapshot is not None:
            snapshots[test.snapshot] = snapshot_text(outcome.sent[test.api])
        elif test.is_row:
            changes[test.loc] = _results(outcome.sent, 0)
        else:
            changes[test.loc] = {"results": partial(_list, outcome.sent)}
    if changes:
        file = outcomes[0].tests.file
        before = file.read_text(encoding="utf-8")
        replace_text(file, with_keys(before, changes, (*RESULT_KEYS, "results")))
        tests, problems = read_tests(file)
        if tests is None or problems:
            replace_text(file, before)
            what = "a result that YAML cannot hold, such as a number of more than 64 bits; use snapshot: in that test"
            raise ConfigError([Problem(str(file), None, "", what)])
        written.append(file)
    for snapshot, text in snapshots.items():
        replace_text(snapshot, text)
    return [*written, *snapshots]


def _results(sent: Mapping[str, Sequence[PreviewedRow]], place: int) -> dict[str, Written]:
    """The keys that describe what became of a row."""
    keys: dict[str, Written] = {}
    for api, rows in sent.items():
        name, value = result_of(rows[place], api)
        keys[name] = partial(key_text, name, value)
    return keys


def result_of(row: PreviewedRow, api: str) -> tuple[str, Any]:
    """The key and the value that describe what became of a row: its payload without the ids made from keys."""
    if row.item is None:
        return ("skipped", True) if row.reason is None else ("rejected", row.reason)
    payload = json.loads(row.item[:-1], parse_int=Verbatim, parse_float=Verbatim)
    if isinstance(payload, dict):
        payload = {name: value for name, value in payload.items() if name not in GENERATED}
    return APIS[api].example_key, payload


def key_text(name: str, value: Any, column: int | None) -> str:
    """A key with its value, at this column: a payload has a line for each of its keys."""
    if column is None:
        return f"{name}: {flow(value)}"
    indent = " " * (column + 2)
    if not isinstance(value, dict) or not value:
        return "\n".join(wrapped(f"{name}:", value, indent))
    lines = [f"{name}:"]
    for key, inner in value.items():
        first, *rest = wrapped(f"{scalar(key)}:", inner, indent + "  ")
        lines += [indent + first, *rest]
    return "\n".join(lines)


def _list(sent: Mapping[str, Sequence[PreviewedRow]], column: int | None) -> str:
    """The results of several rows, a line each."""
    count = len(next(iter(sent.values())))
    results = []
    for place in range(count):
        results.append({name: value for api, rows in sent.items() for name, value in [result_of(rows[place], api)]})
    if column is None:
        return f"results: {flow(results)}"
    indent = " " * (column + 2)
    lines = ["results:"]
    for result in results:
        first, *rest = wrapped("-", result, indent + "  ")
        lines += [indent + first, *rest]
    return "\n".join(lines)


def replace_text(path: Path, text: str) -> None:
    """Writes a file in one step: whoever reads it sees the old text or the new one. Raises ConfigError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        if path.exists():
            os.chmod(name, path.stat().st_mode & 0o777)
        os.replace(name, path)
    except OSError as error:
        what = f"cannot be written: {error.strerror}; check the folder and who may write to it"
        raise ConfigError([Problem(str(path), None, "", what)]) from None
