"""`check` reports every fault of a job and its mappings at once, and no fault that only follows from another one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cio_etl.cli import main
from cio_etl.config import load_mapping
from cio_etl.config.check import Checked, check_file
from cio_etl.config.examples import check_examples
from cio_etl.config.job_sections import DestinationYaml
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.errors import Problem
from cio_etl.model import Example

JOB = """\
destination: {site_id: '${SITE}', api_key: '${KEY}'}
steps:
  - {name: people, source: {csv: a.csv}, mapping: m.yaml}
"""
MAPPING = """\
operation: identify
identifiers: {id: id}
attributes:
  half: {column: n, apply: [{divide: 2}]}
examples:
  - row: {id: "1", n: "4"}
    payload: {type: person, action: identify, identifiers: {id: "1"}, attributes: {half: 2.0}}
  - row: {id: null, n: "4"}
    rejected: identifier_missing
"""
ONE_KIND = "write one of csv:, parquet:, ndjson:, excel:, avro:, delta:, iceberg:, sql:"
A_VALUE = "a value is a column's name, {column: name, apply: [function]} or, for a constant, {value: 7}"
ONE_OUTCOME = "an example has one result: payload: {…}, rejected: reason, or skipped: true"
VALUE_KEYS = "column, columns, expr, apply, value, use, object, list, on_error, nulls"
EITHER = "write one of column:, columns:, expr: and value:"
ONE_END = "write either object:, for a relationship of a person, or person:, for one of an object"
ONLY_REFERENCES = (
    "secrets are references only: write ${NAME} or ${file:/run/secrets/key}, and replace a key that was written here"
)
NOT_A_JOB = (
    "this is a mapping, not a job; a job has the keys destination and steps, and names this file under mapping; "
    "run a job instead; `cio-etl check m.yaml` checks the mapping alone"
)

Captured = pytest.CaptureFixture[str]


def problems_of(name: str, **files: str) -> list[str]:
    """The problems that `check NAME.yaml` reports for these files, without `.yaml` in the places."""
    for stem, text in {"j": JOB, "m": MAPPING, **files}.items():
        Path(f"{stem}.yaml").write_text(text, encoding="utf-8")
    return [str(problem).replace(".yaml", "") for problem in check_file(Path(f"{name}.yaml")).problems]


def test_a_correct_job_has_no_problems_and_its_steps_mappings_and_examples_are_counted() -> None:
    assert problems_of("j") == []
    assert check_file(Path("j.yaml")) == Checked(steps=1, mappings=1, examples=2, problems=())


def test_a_mapping_can_be_checked_alone_with_its_examples() -> None:
    assert problems_of("m") == []
    assert check_file(Path("m.yaml")) == Checked(steps=None, mappings=1, examples=2, problems=())
    assert problems_of("m", m=MAPPING.replace("2.0", "3")) == [
        "m:6: examples[0]: the payload differs at payload.attributes.half"
    ]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        # several faults in one value
        (
            "attributes:\n  a: {colum: x, value: 3, apply: [trm]}\n",
            [
                "m:4: attributes.a.apply[0]: no function 'trm'; did you mean 'trim'?",
                "m:4: attributes.a.colum: unknown key; did you mean 'column'?",
                f"m:4: attributes.a: {EITHER}",
            ],
        ),
        (
            "attributes:\n  a: {column: 7, value: 3}\n  b: {column: b, aply: [trim]}\n  c: {column: [x], value: 1}\n",
            [
                "m:4: attributes.a.column: must be text; put it in quotes",
                f"m:4: attributes.a: {EITHER}",
                "m:5: attributes.b.aply: unknown key; did you mean 'apply'?",
                "m:6: attributes.c.column: must be text; put it in quotes",
                f"m:6: attributes.c: {EITHER}",
            ],
        ),
        # a misspelt key and the key that is missing because of it are one problem
        (
            "attributes:\n  a: {colum: x}\n  b: {qqq: x}\n  c: {zzz: 1, column: a, value: b}\n",
            [
                "m:4: attributes.a.colum: unknown key; did you mean 'column'?",
                f"m:5: attributes.b.qqq: unknown key; there are {VALUE_KEYS}",
                f"m:6: attributes.c.zzz: unknown key; there are {VALUE_KEYS}",
                f"m:6: attributes.c: {EITHER}",
            ],
        ),
        # every argument of a function, and every function of a list
        (
            "attributes:\n"
            "  a: {column: a, apply: [{timestamp: {timezon: UTC, ambiguous: h}}, {divide: 0}, lower, {trim: 3}]}\n",
            [
                "m:4: attributes.a.apply[0]: timestamp: unknown argument 'timezon'; did you mean 'timezone'?",
                "m:4: attributes.a.apply[0]: timestamp: 'ambiguous' must be one of earliest, latest, reject",
                "m:4: attributes.a.apply[1]: divide: 'by' must not be 0",
                "m:4: attributes.a.apply[3]: trim: it takes no argument",
            ],
        ),
        # a value that YAML refuses; that it is then missing is not reported
        (
            "nulls: *x\nattributes:\n  a: *y\n  b: {value: 007}\n  c: 7\n  d: &z {column: d}\nnulls: omit\n",
            [
                "m:3: nulls: an alias (*); write the value out",
                "m:5: attributes.a: an alias (*); write the value out",
                "m:6: attributes.b.value: a number that would lose its leading zero or plus; put it in quotes",
                f"m:7: attributes.c: {A_VALUE}",
                "m:8: attributes.d: an anchor (&); leave it out and write values out where they are needed",
                "m:9: nulls: written twice, first on line 3; keep one",
            ],
        ),
        # keys in the wrong section
        (
            "column: a\nrow: {}\nsteps: []\nemail: mail\n",
            [
                f"m:3: column: unknown key; there are {', '.join(MappingYaml.model_fields)}",
                "m:4: row: unknown key; it goes under examples:",
                f"m:5: steps: unknown key; there are {', '.join(MappingYaml.model_fields)}",
                "m:6: email: unknown key; it goes under identifiers:",
            ],
        ),
        # malformed examples, and examples that can be tested
        (
            "examples:\n"
            "  - {row: {id: a}, skipped: true, payload: {}}\n"
            "  - {row: {id: a}, skipped: true}\n"
            "  - {row: 7, rejected: email_malformd}\n"
            "  - {row: {i: a}, skipped: true}\n"
            "  - {row: {id: a}, payload: {type: person}, skiped: 1}\n"
            "  - {row: {id: 007}, skipped: true}\n"
            "  - {rows: {id: a}, skipped: true}\n",
            [
                f"m:4: examples[0]: {ONE_OUTCOME}",
                "m:5: examples[1]: skipped was expected, but the row is sent",
                "m:6: examples[2].row: must be keys with values, as `key: value`",
                "m:6: examples[2].rejected: no such reason; did you mean 'email_malformed'?",
                "m:7: examples[3].row: has no 'id', which the mapping uses; add the missing columns, with null for no "
                "value",
                "m:8: examples[4].skiped: unknown key; did you mean 'skipped'?",
                f"m:8: examples[4]: {ONE_OUTCOME}",
                "m:9: examples[5].row.id: a number that would lose its leading zero or plus; put it in quotes",
                "m:10: examples[6].rows: unknown key; did you mean 'row'?",
            ],
        ),
        # a row whose values do not fit the functions
        (
            "attributes: {a: {column: a, apply: [{divide: 2}]}}\n"
            "examples:\n"
            "  - {row: {id: a, a: [1]}, skipped: true}\n"
            "  - {row: {id: a, a: [[1], 2.5]}, skipped: true}\n",
            [
                "m:5: examples[0]: m:3: attributes.a: column 'a': divide needs text or a number; "
                "the column holds lists of whole numbers",
                "m:6: examples[1].row.a: a list with values of several types, which no column can contain",
            ],
        ),
        # the sections of a relationship, each with its own missing keys
        (
            "relationships:\n"
            "  - {object: {type: 1, ids: a}, person: {id: b}}\n"
            "  - {objct: {type: 1, id: a}}\n"
            "  - {attributes: {role: 7}}\n"
            "attributes:\n"
            "  a: {columns: [b, c]}\n"
            "  b: {columns: [b, b], apply: [concat, lowr]}\n",
            [
                "m:4: relationships[0].object.ids: unknown key; did you mean 'id'?",
                f"m:4: relationships[0]: {ONE_END}",
                "m:4: relationships[0].person: identify relates to an object; write object: instead",
                "m:5: relationships[1].objct: unknown key; did you mean 'object'?",
                f"m:6: relationships[2].attributes.role: {A_VALUE}",
                f"m:6: relationships[2]: {ONE_END}",
                "m:8: attributes.a: columns: needs apply: with a function that makes one value of them, as coalesce or "
                "{concat: ' '}",
                "m:9: attributes.b.apply[1]: no function 'lowr'; did you mean 'lower'?",
            ],
        ),
        (
            "examples: [{row: {id: a}, payload: 7}, {row: {id: a}, payload: a, rejected: item_too_large}]\n",
            [
                "m:3: examples[0].payload: must be keys with values, as `key: value`; "
                "of a segment, an identifier as text",
                f"m:3: examples[1]: {ONE_OUTCOME}",
            ],
        ),
        # a rule across keys together with a fault in one of them
        (
            "event: 7\nwhen: a ==\nallow_reserved: [cio_idd, 3]\nattributes: {cio_id: a, '': b}\n",
            [
                f"m:3: event: {A_VALUE}",
                "m:3: event: identify does not have this key; leave it out, or write operation: track or page or "
                "screen",
                "m:4: when: not a condition in SQL over the row's columns, as \"plan_name <> 'internal'\"",
                "m:5: allow_reserved[1]: must be text; put it in quotes",
                "m:5: allow_reserved[0]: not a reserved name; did you mean 'cio_id'?",
                "m:6: attributes.cio_id: 'cio_id' is reserved by Customer.io; "
                "add allow_reserved: [cio_id] if you mean it",
                "m:6: attributes: an attribute has an empty name",
            ],
        ),
    ],
)
def test_all_problems_of_a_mapping_are_reported_at_once(text: str, problems: list[str]) -> None:
    assert problems_of("m", m="operation: identify\nidentifiers: {id: id}\n" + text) == problems


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "destination: {site_id: x, api_key: '${A}', lanes: many, region: [us], speed: 3, max_rejects: 3}\n"
            "lanes: 7\nregion: us\n"
            "steps:\n"
            "  - {name: a b, source: {csv: 7, parquet: b, sheet: x}, mapping: [m.yaml, no.yaml]}\n"
            "  - {nam: y, source: {csv: a, parquet: b, seperator: ';'}, mapping: m.yaml, lanes: 2}\n",
            [
                "j:1: destination.region: must be 'us', 'eu' or 'auto'",
                "j:1: destination.lanes: must be a whole number",
                f"j:1: destination.speed: unknown key; there are {', '.join(DestinationYaml.model_fields)}",
                "j:1: destination.max_rejects: unknown key; it goes to the top of the file",
                f"j:1: destination.site_id: {ONLY_REFERENCES}",
                "j:2: lanes: unknown key; it goes under destination:",
                "j:3: region: unknown key; it goes under destination: or under steps.source.storage:",
                "j:5: steps[0].name: must be up to 100 letters, digits, - and _, beginning with a letter or digit: "
                "it names files",
                "j:5: steps[0].source.csv: must be text, or a list of texts",
                f"j:5: steps[0].source: {ONE_KIND}",
                "j:5: steps[0].source: sheet: goes with excel: only; leave it out",
                "j:5: steps[0].mapping[1]: no file 'no'; relative paths start at the folder in which the command runs",
                "j:6: steps[1].source.seperator: unknown key; did you mean 'separator'?",
                "j:6: steps[1].nam: unknown key; did you mean 'name'?",
                "j:6: steps[1].lanes: unknown key; it goes under destination:",
                f"j:6: steps[1].source: {ONE_KIND}",
            ],
        ),
        (
            JOB.replace(
                "csv: a.csv", "sql: '${DB}', key: id, lag: soon, storage: {access_key_id: '${A}', anonymous: yes}"
            ),
            [
                "j:3: steps[0].source.storage.anonymous: must be true or false",
                "j:3: steps[0].source.lag: must be a duration, as 15 minutes, 2h or 1 day; "
                "for a watermark of numbers, a whole number",
                "j:3: steps[0].source: storage: goes with csv:, parquet:, ndjson:, excel:, avro:, delta:, iceberg: "
                "only; leave it out",
                "j:3: steps[0].source: write one of table:, query: and query_file:",
                "j:3: steps[0].source: key, lag: goes with watermark:, which is missing",
                "j:3: steps[0].source.storage: access_key_id and secret_access_key go together",
            ],
        ),
        (
            JOB.replace("csv: a.csv", "sql: '${DB}', query: 'select :a', parameters: {b: 1}, watermark: w"),
            [
                "j:3: steps[0].source: the query must use :watermark, as in `where updated_at >= :watermark`",
                "j:3: steps[0].source: start: is missing; the first run needs a value for :watermark, as 2024-01-01",
                "j:3: steps[0].source: the query has :a, which parameters: does not give; a colon that is "
                "not a parameter is written \\:",
                "j:3: steps[0].source: parameters: has 'b', which the query does not use",
            ],
        ),
        (
            JOB.replace("mapping: m.yaml", "mapping: j.yaml"),
            ["j:3: steps[0].mapping: this file is a job, not a mapping; name a file with operation: and identifiers:"],
        ),
        (JOB + "state: *x\nname: ${N}\n", ["j:4: state: an alias (*); write the value out"]),
    ],
)
def test_all_problems_of_a_job_are_reported_at_once(
    text: str, problems: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("N", "nightly")
    assert problems_of("j", j=text) == problems


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("m", MAPPING + "traits: {}\n", "m:10: traits: write attributes:, whatever the API calls them"),
        ("m", MAPPING + "action: event\n", "m:10: action: both are written as operation:, as identify or track"),
        ("m", MAPPING + "userId: a\n", "m:10: userId: the person is written under identifiers:, as {id: column}"),
        ("m", MAPPING + "filter: a\n", "m:10: filter: rows are skipped by when:"),
        (
            "m",
            MAPPING.replace("n, apply: [{divide: 2}]", "n, default: 7"),
            "m:4: attributes.half.default: a default is a function; write apply: [{default: free}]",
        ),
        (
            "j",
            JOB.replace("{site", "{workers: 4, site"),
            "j:1: destination.workers: write the number of concurrent batches as lanes:",
        ),
        (
            "j",
            JOB.replace("{site", "{batch_size: 9, site"),
            "j:1: destination.batch_size: a batch contains as many rows as fit into max_batch_bytes:; leave it out",
        ),
        (
            "j",
            JOB.replace("csv: a.csv", "type: csv"),
            "j:3: steps[0].source.type: the kind is the key itself, as csv: people.csv",
        ),
        ("j", JOB.replace("a.csv", "a.csv, delimiter: ';'"), "j:3: steps[0].source.delimiter: written separator:"),
    ],
)
def test_a_key_of_another_tool_is_answered_with_the_right_key(name: str, text: str, problem: str) -> None:
    assert problems_of(name, **{name: text}) == [problem]


KEYED = """\
operation: track
identifiers: {id: id}
event: {value: Order}
event_key: id
"""


@pytest.mark.parametrize(
    ("watermark", "more", "warns"),
    [
        ("updated_at", "", True),
        ("LAST_MODIFIED", "", True),
        ("created_at", "", False),
        ("updated_at", "timestamp: {column: updated_at, apply: [{timestamp: {unit: s}}]}\n", False),
        ("id", "", False),
    ],
)
def test_check_warns_of_an_event_key_that_stays_when_its_row_changes(
    watermark: str, more: str, warns: bool, capsys: Captured
) -> None:
    Path("m.yaml").write_text(KEYED + more)
    source = f"{{sql: '${{URL}}', table: orders, watermark: {watermark}}}"
    Path("j.yaml").write_text(JOB.replace("{csv: a.csv}", source))
    assert main(["check", "j.yaml"]) == 0
    warning = f"j.yaml: warning: step people: a row that changes is read again by its watermark '{watermark}'"
    assert (warning in capsys.readouterr().err) == warns


def test_an_asterisk_is_no_column(capsys: Captured) -> None:
    Path("m.yaml").write_text("operation: identify\nidentifiers: {id: id}\nattributes: {a: '*'}\n")
    assert main(["check", "m.yaml"]) == 78
    assert "m.yaml:3: attributes.a: * is no column; name each column, or write" in capsys.readouterr().err


def test_problems_of_a_job_do_not_hide_those_of_its_mappings_and_examples() -> None:
    steps = "".join(
        f"  - {{name: {name}, source: {{csv: a}}, mapping: {name}.yaml}}\n" for name in ("broken", "m", "none")
    )
    job = JOB[: JOB.index("  -")] + steps + "max_rejects: x\n"
    problems = problems_of(
        "j", j=job, broken="operation: identfy\nidentifiers: {id: a}\n", m=MAPPING.replace("2.0", "3")
    )
    assert problems == [
        "j:5: steps[2].mapping: no file 'none'; relative paths start at the folder in which the command runs",
        "j:6: max_rejects: must be a share, as 1% or {share: 1%, at_least: 0}, or a whole number of rows",
        "broken:1: operation: no such operation; did you mean 'identify'?",
        "m:6: examples[0]: the payload differs at payload.attributes.half",
    ]


def test_a_file_that_is_not_yaml_does_not_hide_problems_of_the_next_file(capsys: Captured) -> None:
    Path("a.yaml").write_text("a: [1,\n")
    Path("m.yaml").write_text(MAPPING.replace("2.0", "3"))
    assert main(["check", "a.yaml", "no.yaml", "m.yaml"]) == 78
    assert capsys.readouterr().err == (
        "a.yaml:2: column 1: a `[` or `{` that is not closed\n"
        "no.yaml: no such file; relative paths start at the folder in which the command runs\n"
        "m.yaml:6: examples[0]: the payload differs at payload.attributes.half\n"
    )


@pytest.mark.parametrize("command", ["run", "validate", "preview", "status"])
def test_a_mapping_in_place_of_a_job_is_one_problem(command: str, capsys: Captured) -> None:
    Path("m.yaml").write_text(MAPPING)
    assert main([command, "m.yaml"]) == 78
    assert capsys.readouterr().err == f"m.yaml:1: {NOT_A_JOB}\n"


def test_check_prints_problems_as_json(capsys: Captured) -> None:
    Path("m.yaml").write_text(MAPPING)
    assert main(["check", "--json", "m.yaml"]) == 0
    assert capsys.readouterr().out == "[]\n"
    Path("m.yaml").write_text(MAPPING.replace("divide", "devide"))
    assert main(["check", "--json", "m.yaml", "m.yaml"]) == 78
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == [
        {
            "file": "m.yaml",
            "line": 4,
            "path": "attributes.half.apply[0]",
            "message": "no function 'devide'; did you mean 'divide'?",
        }
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({"id": VALUES, "n": VALUES, "else": VALUES}))
def test_an_example_with_any_row_passes_or_fails_without_an_exception(row: dict[str, object]) -> None:
    Path("m.yaml").write_text(MAPPING.split("examples:")[0] + "examples:\n  - {row: {}, skipped: true}\n")
    mapping = replace(load_mapping(Path("m.yaml")), examples=(Example(row, skipped=True),))
    problems = list(check_examples(mapping))
    assert len(problems) == 1 and isinstance(problems[0], Problem)


SNIPPETS = [
    "\n",
    "  ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "null",
    "7",
    "x",
    "''",
    ", ",
    "apply: ",
    "row: ",
    "lower",
    "*x",
    "007",
    ".nan",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(MAPPING)), st.integers(0, 9), st.sampled_from(SNIPPETS)), max_size=3))
def test_a_damaged_mapping_has_problems_and_raises_no_exception(damage: list[tuple[int, int, str]]) -> None:
    text = MAPPING
    for place, length, snippet in damage:
        text = text[:place] + snippet + text[place + length :]
    for problem in problems_of("j", m=text):
        assert "not understood" not in problem and "Yaml" not in problem and "pydantic" not in problem
