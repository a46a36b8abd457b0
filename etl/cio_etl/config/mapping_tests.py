"""Finds and reads the tests of mappings: files in the folder `tests` beside a mapping, and the mapping's own examples.

`mappings/tests/customers.yaml` and `mappings/tests/customers.dates.yaml` test `mappings/customers.yaml`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import field
from pathlib import Path
from typing import Any

from cio_etl.apis import APIS, DEFAULT_API
from cio_etl.config.job import read_job
from cio_etl.config.job_sections import JobYaml
from cio_etl.config.mapping import read_mapping
from cio_etl.config.mapping_rules import reason_faults
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.plain_form import read_document
from cio_etl.config.targets import target_names
from cio_etl.config.tests_sections import CaseYaml, MappingTestsYaml
from cio_etl.config.validation import Fault, in_order, looks_like, not_consequences, validated
from cio_etl.config.yaml_file import Document, Loc, read_yaml
from cio_etl.errors import ConfigError, Problem, did_you_mean, did_you_mean_file
from cio_etl.model import Example, Mapping, Source
from cio_etl.model.records import dataclass

FOLDER = "tests"  # beside the mapping


@dataclass(frozen=True, slots=True)
class MappingTest:
    """One test: the rows of one source, and the expected result of each; None: nothing is expected yet."""

    name: str
    loc: Loc  # its place in the file
    line: int | None
    rows: tuple[MappingOf[str, Any], ...] = ()
    is_row: bool = False  # one row, whose result is written beside it
    source: Source | None = None  # instead of rows
    expected: tuple[Example, ...] | None = None
    snapshot: Path | None = None  # the file of the expected results
    api: str = DEFAULT_API


@dataclass(frozen=True, slots=True)
class MappingTests:
    """The tests of one file; those of a mapping itself are its examples."""

    file: Path
    mapping: Mapping
    tests: tuple[MappingTest, ...]
    types: MappingOf[str, str] = field(default_factory=dict)

    @property
    def are_examples(self) -> bool:
        """Whether they are the examples in the mapping, which `--update` leaves as they are."""
        return str(self.file) == self.mapping.file


def find_tests(paths: Iterable[Path]) -> list[MappingTests]:
    """The tests of these jobs, mappings, files of tests and folders, each once. Raises ConfigError with all faults.

    Of a job, those of its mappings; of a folder, those of all its jobs and mappings, at any depth.
    """
    problems: list[Problem] = []
    files: dict[Path, None] = {}
    bases: set[Path] = set()  # files of folders from which others inherit: alone they may be no whole mapping
    for path in paths:
        for file in _files(path):
            if file != path:
                bases |= _extended_by(file)
            found, faults = _of_file(file, is_named=file == path)
            files |= dict.fromkeys(found)
            problems += faults
    bases -= {path.resolve() for path in paths}
    tests = [_read(file) for file in files if not (file.resolve() in bases and _is_part(file))]
    problems += [problem for _, faults in tests for problem in faults]
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    return [found for found, _ in tests if found is not None and found.tests]


def count_tests(mapping: Path) -> int:
    """How many tests a mapping has in files of their own, as far as they can be read."""
    found = (read_yaml(file).data for file in _with_tests(mapping)[1:])
    lists = [data["tests"] for data in found if data is not None and is_tests(data)]
    return sum(len(tests) for tests in lists if isinstance(tests, list))


def tests_file(mapping: Path) -> Path:
    """Where the tests of a mapping are."""
    return mapping.parent / FOLDER / f"{mapping.stem}.yaml"


def is_tests(data: MappingOf[str, Any]) -> bool:
    """Whether the content of a file is that of tests."""
    return "tests" in data and not data.keys() & {"operation", "steps"}


def read_tests(path: Path) -> tuple[MappingTests | None, list[Problem]]:
    """The tests of a file, and everything that is wrong in it and in its mapping; None: they cannot be run."""
    document = read_yaml(path)
    if document.data is None:
        return None, in_order(document.problems)
    parsed, faults = validated(MappingTestsYaml, document.data)
    faults += _test_faults(document.data)
    if parsed is not None and not parsed.mapping and path.parent.name != FOLDER:
        faults.append(((), f"no mapping is named, and the folder is not called {FOLDER}; write mapping: and its file"))
    faults = not_consequences(faults, document.refused)
    problems = in_order([*document.problems, *(document.problem(loc, message) for loc, message in faults)])
    if parsed is None or problems:
        return None, problems
    tested = Path(parsed.mapping) if parsed.mapping else _tested_by(path)
    if not tested.is_file():
        advice = did_you_mean_file(str(tested))
        return None, [document.problem(("mapping",), f"no file {str(tested)!r}; {advice}")]
    mapping, problems = read_mapping(tested)
    if mapping is not None and not problems and mapping.explode is None:
        problems = [document.problem(loc, message) for loc, message in _count_faults(parsed)]
    if mapping is None or problems:
        return None, problems
    tests = tuple(_test(document, place, test) for place, test in enumerate(parsed.tests))
    return MappingTests(path, mapping, tests, parsed.types), []


def _files(path: Path) -> list[Path]:
    """The file; of a folder, the YAML files in it."""
    if not path.is_dir():
        return [path]
    found = [
        Path(folder) / name
        for folder, folders, names in os.walk(path)
        if not folders.sort()  # os.walk goes on in this order
        for name in sorted(names)
        if name.endswith((".yaml", ".yml")) and not name.startswith(".")
    ]
    if not found:
        raise ConfigError([Problem(str(path), None, "", "no YAML file is in this folder; name jobs or mappings")])
    return found


def _of_file(path: Path, *, is_named: bool) -> tuple[list[Path], list[Problem]]:
    """The files in which tests may be: of a job, its mappings and their tests; and what is wrong in the file."""
    data = read_document(path).data
    if data is None or is_tests(data):
        return [path], []
    if looks_like(MappingYaml, data, rather_than=JobYaml):
        return _with_tests(path), []
    if not is_named and not looks_like(JobYaml, data, rather_than=MappingYaml):
        return [], []  # another program's file, in a folder
    target = next(iter(target_names(path)), None)  # the mappings are the same for each destination
    _, problems, mappings = read_job(path, secrets=False, sources=False, target=target)
    own = [problem for problem in problems if "examples" not in problem.path]
    return [file for mapping in mappings for file in _with_tests(Path(mapping.file))], own


def _extended_by(path: Path) -> set[Path]:
    """The file from which a mapping inherits."""
    base = (read_yaml(path).data or {}).get("extends")
    return {(path.parent / base).resolve()} if isinstance(base, str) and base else set()


def _is_part(path: Path) -> bool:
    return read_mapping(path)[0] is None


def _with_tests(mapping: Path) -> list[Path]:
    folder = mapping.parent / FOLDER
    others = sorted(folder.glob("*.y*ml")) if folder.is_dir() else []
    return [mapping, *(file for file in others if file.name.partition(".")[0] == mapping.stem)]


def _tested_by(path: Path) -> Path:
    return path.parent.parent / f"{path.name.partition('.')[0]}.yaml"


def _read(path: Path) -> tuple[MappingTests | None, list[Problem]]:
    data = read_yaml(path).data
    if data is None or is_tests(data):
        return read_tests(path)
    mapping, problems = read_mapping(path)
    if mapping is None or problems:
        return None, problems
    tests = tuple(
        MappingTest(f"examples[{place}]", ("examples", place), example.line, (example.row,), True, expected=(example,))
        for place, example in enumerate(mapping.examples)
    )
    return MappingTests(path, mapping, tests), []


def _test(document: Document, place: int, test: CaseYaml) -> MappingTest:
    loc: Loc = ("tests", place)
    results: list[tuple[Any, Loc]] = [
        (result, (*loc, "results", number)) for number, result in enumerate(test.results or ())
    ]
    if test.row is not None and (test.payloads() or test.rejected or test.skipped):
        results = [(test, loc)]
    expected = tuple(
        Example({}, result.payloads(), result.rejected, bool(result.skipped), document.line(at))
        for result, at in results
    )
    return MappingTest(
        test.name or f"tests[{place}]",
        loc,
        document.line(loc),
        tuple(test.rows or ()) if test.row is None else (test.row,),
        test.row is not None,
        None if test.source is None else test.source.to_source(),
        expected if results or test.results is not None else None,
        None if test.snapshot is None else Path(test.snapshot),
        test.api,
    )


def _count_faults(parsed: MappingTestsYaml) -> Iterator[Fault]:
    """Tests that have more results than rows, which only the entries of lists have."""
    for place, test in enumerate(parsed.tests):
        if test.rows and len(test.results or ()) > len(test.rows):
            what = f"{len(test.results)} for {len(test.rows)} rows; write one for each row"
            yield ("tests", place, "results"), what


def _test_faults(data: MappingOf[str, Any]) -> Iterator[Fault]:
    """What is wrong with tests, apart from the value of a single key."""
    for place, test in enumerate(tests if isinstance(tests := data.get("tests"), list) else []):
        if not isinstance(test, dict):
            continue
        yield from reason_faults(("tests", place), test)
        results = test.get("results")
        for number, result in enumerate(results if isinstance(results, list) else []):
            yield from reason_faults(("tests", place, "results", number), result)
        rows = test.get("rows")
        if isinstance(rows, list) and isinstance(results, list) and len(results) < len(rows):
            yield ("tests", place, "results"), f"{len(results)} for {len(rows)} rows; write one for each row"
        api = test.get("api", DEFAULT_API)
        if isinstance(api, str) and api not in APIS:
            yield ("tests", place, "api"), f"no such API; {did_you_mean(api, APIS)}"
