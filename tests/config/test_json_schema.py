"""The JSON Schema for editors accepts what the loader accepts, rejects only what it rejects, and has every key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cio_etl.apis import OPERATIONS
from cio_etl.cli import main
from cio_etl.config import describe, json_schema, load_job, load_mapping
from cio_etl.config.job_sections import JobYaml
from cio_etl.config.json_schema import MODELINE, SCHEMA_FILE, SchemaKind, schema, schema_text
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.tests_sections import MappingTestsYaml
from cio_etl.config.value_sections import ValueYaml
from cio_etl.config.yaml_file import read_yaml
from cio_etl.errors import ConfigError
from cio_etl.model.yaml_section import Section
from cio_etl.transform.functions import FUNCTIONS, parse_call

ROOT = Path(__file__).parents[2]
README = "".join((ROOT / page / "README.md").read_text(encoding="utf-8") for page in ("jobs", "mappings"))
KINDS: tuple[SchemaKind, ...] = get_args(SchemaKind)
VALIDATORS = {kind: Draft202012Validator(schema(kind)) for kind in KINDS}
CALL = Draft202012Validator({"$ref": "#/$defs/call", "$defs": schema("mapping")["$defs"]})

JOB = """\
destination: {site_id: '${SITE}', api_key: '${KEY}'}
steps:
  - {name: a, source: {csv: a.csv}, mapping: m.yaml}
"""
MAPPING = "operation: identify\nidentifiers: {id: id}\n"
TRACK = "operation: track\nevent: {value: seen}\nidentifiers: {id: id}\n"


def marked(kind: SchemaKind, content: str) -> list[str]:
    """The places that an editor would mark in the text."""
    Path("file.yaml").write_text(content, encoding="utf-8")
    document = read_yaml(Path("file.yaml"))
    assert document.data is not None and document.problems == ()
    return sorted({error.json_path for error in VALIDATORS[kind].iter_errors(document.data)})


def refused(kind: SchemaKind, content: str) -> bool:
    """Whether the loader refuses the text."""
    Path("m.yaml").write_text(MAPPING)
    Path("file.yaml").write_text(content, encoding="utf-8")
    environ = {"SITE": "s", "KEY": "k", "N": "8", "YES": "true", "DB": "sqlite:///a.db", "REGION": "eu"}
    try:
        load_job(Path("file.yaml"), environ) if kind == "job" else load_mapping(Path("file.yaml"))
    except ConfigError:
        return True
    return False


# ---------------------------------------------------------------- what is shipped


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_valid_for_its_draft(kind: SchemaKind) -> None:
    Draft202012Validator.check_schema(schema(kind))
    assert schema(kind)["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize(("kind", "folder"), [("job", "jobs"), ("mapping", "mappings"), ("tests", "mappings/tests")])
def test_the_shipped_schema_is_the_one_of_the_code(
    kind: SchemaKind, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", kind]) == 0
    printed = capsys.readouterr().out
    assert printed == schema_text(kind)
    assert (ROOT / folder / SCHEMA_FILE).read_text(encoding="utf-8") == printed, "run `make schemas`"


FOLDERS: dict[SchemaKind, str] = {"job": "jobs", "mapping": "mappings", "tests": "mappings/tests"}
YAML_FILES = [path for folder in ("jobs", "mappings") for path in (ROOT / folder).rglob("*.yaml")]


def kind_of(path: Path) -> SchemaKind:
    if path.parent.name == "tests":
        return "tests"
    return "job" if path.name == "job.yaml" or path.parent.name == "jobs" else "mapping"


SHIPPED = [(kind_of(path), path) for path in YAML_FILES if path.name != "preset.yaml"]


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=lambda value: getattr(value, "stem", value))
def test_the_schema_accepts_every_shipped_file_and_each_names_it(kind: SchemaKind, path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    modeline = re.match(r"# yaml-language-server: \$schema=([\w./]*\.schema\.json)\n", content)
    assert modeline is not None, f"{path.name} must begin with its modeline, as {MODELINE}"
    assert (path.parent / modeline[1]).resolve() == ROOT / FOLDERS[kind] / SCHEMA_FILE
    assert marked(kind, content) == []


def test_the_schema_accepts_the_examples_of_the_documentation() -> None:
    blocks = re.findall(r"(?ms)^```yaml\n# (job|mapping)s/\w+\.yaml\n(.*?)^```$", README)
    sources = re.findall(r"(?ms)^```yaml\n(source:\n.*?)^```$", README)
    assert len(blocks) > 1 and len(sources) > 1
    for kind, block in blocks:
        assert marked(kind, block) == []
    for block in sources:
        step = block.replace("\n", "\n    ")
        assert marked("job", JOB[: JOB.index("  -")] + f"  - name: a\n    mapping: m.yaml\n    {step}\n") == []


def test_there_is_no_schema_of_another_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "source"]) == 2
    assert "'source' is not one of 'job', 'mapping', 'tests'" in capsys.readouterr().err


# ---------------------------------------------------------------- every key


def sections(model: type[Section]) -> Iterator[type[Section]]:
    yield model
    for field in model.model_fields.values():
        for inner in inner_sections(field.annotation):
            yield from sections(inner)


def inner_sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from inner_sections(inner)


SECTIONS = [
    (kind, part)
    for kind, root in (("job", JobYaml), ("mapping", MappingYaml), ("tests", MappingTestsYaml))
    for part in dict.fromkeys(sections(root))
]


@pytest.mark.parametrize(("kind", "section"), SECTIONS, ids=lambda value: getattr(value, "__name__", value))
def test_the_schema_has_exactly_the_keys_of_the_model_each_with_its_description(
    kind: SchemaKind, section: type[Section]
) -> None:
    whole = schema(kind)
    name = section.__name__.removesuffix("Yaml").lower()
    made = whole if section in (JobYaml, MappingYaml, MappingTestsYaml) else whole["$defs"][name]
    made = made["anyOf"][0] if section.short_form else made
    assert sorted(made["properties"]) == sorted(section.model_fields)
    assert made["additionalProperties"] is False
    needed = made["then"]["required"] if "then" in made else made.get("required", [])
    assert sorted(needed) == sorted(key for key, field in section.model_fields.items() if field.is_required())
    descriptions = {key: inner.get("description", "") for key, inner in made["properties"].items()}
    assert descriptions == {key.name: key.description for key in describe(section)} and all(descriptions.values())


def test_rules_across_keys_name_keys_of_their_section() -> None:
    for _, section in SECTIONS:
        groups = [*section.one_of, *section.goes_with, *section.goes_with.values()]
        assert {key for keys in groups for key in ([keys] if isinstance(keys, str) else keys)} <= {
            *section.model_fields
        }


def test_the_schema_has_every_operation_and_every_function() -> None:
    whole = schema("mapping")
    changes, alone = whole["$defs"]["operation"]["anyOf"]
    for operations in (alone["oneOf"], changes["properties"]["map"]["additionalProperties"]["oneOf"]):
        descriptions = {one["const"]: one["description"] for one in operations}
        assert descriptions == {name: operation.does for name, operation in OPERATIONS.items()}
    alone, with_arguments = whole["$defs"]["call"]["anyOf"]
    assert list(with_arguments["properties"]) == ["use", *sorted(FUNCTIONS)]
    needing = {one.name for one in FUNCTIONS.values() if any(given.required for given in one.parameters.values())}
    assert [one["const"] for one in alone["oneOf"]] == [name for name in sorted(FUNCTIONS) if name not in needing]
    assert all(one["description"] for one in (*alone["oneOf"], *with_arguments["properties"].values()))


# ---------------------------------------------------------------- what both refuse, and what both take


@pytest.mark.parametrize(
    ("kind", "content", "places"),
    [
        ("mapping", MAPPING + "atributes: {}\n", ["$"]),
        ("mapping", "identifiers: {id: a}\n", ["$"]),
        ("mapping", "operation: identfy\nidentifiers: {id: a}\n", ["$.operation"]),
        ("mapping", "operation: identify\nidentifiers: {}\n", ["$.identifiers"]),
        ("mapping", "operation: identify\nidentifiers: {id: a, email: b}\n", ["$.identifiers"]),
        ("mapping", "operation: identify\nidentifiers: a\n", ["$.identifiers"]),
        ("mapping", MAPPING + "attributes: [a]\n", ["$.attributes"]),
        ("mapping", MAPPING + "attributes: {a: 7}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: ''}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: null}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: [b]}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {colum: b}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, aply: trim}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, value: c}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {apply: trim}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {value: c, apply: trim}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: lowr}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: [divide]}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: [{divide: x}]}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: {trim: 3}}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: {trim: , lower: }}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: {}}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: {timestamp: {timezon: UTC}}}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: {timestamp: {unit: h}}}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: {map: {p: [1]}}}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: {map: {p: x, default: y}}}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "event: {value: x}\nevent_key: [a]\n", ["$"]),
        ("mapping", "operation: track\nidentifiers: {id: a}\n", ["$"]),
        ("mapping", TRACK + "event_key: 7\n", ["$.event_key"]),
        ("mapping", MAPPING + "nulls: omitt\n", ["$.nulls"]),
        ("mapping", MAPPING + "nulls: ~\n", ["$.nulls"]),
        ("mapping", MAPPING + "when: true\n", ["$.when"]),
        ("mapping", MAPPING + "when:\n", ["$.when"]),
        ("mapping", MAPPING + "examples: {row: {}}\n", ["$.examples"]),
        ("mapping", MAPPING + "examples: [{row: {id: a}}]\n", ["$.examples[0]"]),
        ("mapping", MAPPING + "examples: [{row: {id: a}, skipped: false}]\n", ["$.examples[0].skipped"]),
        ("mapping", MAPPING + "examples: [{row: {id: a}, rejected: no_such}]\n", ["$.examples[0].rejected"]),
        ("mapping", MAPPING + "examples: [{row: 7, skipped: true}]\n", ["$.examples[0].row"]),
        ("mapping", MAPPING + "attributes: {a: {columns: [b, c]}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {columns: [b, c], column: d, apply: coalesce}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "attributes: {a: {expr: ''}}\n", ["$.attributes.a"]),
        ("mapping", MAPPING + "device: {token: a}\n", ["$"]),
        ("mapping", MAPPING + "segment: 7\n", ["$"]),
        ("mapping", MAPPING + "existing_only: maybe\n", ["$.existing_only"]),
        ("mapping", MAPPING + "relationships: []\n", ["$.relationships"]),
        ("mapping", MAPPING + "relationships: [{person: {id: a}}]\n", ["$.relationships[0]"]),
        ("mapping", MAPPING + "relationships: [{object: {type: 1}}]\n", ["$.relationships[0].object"]),
        ("mapping", MAPPING + "relationships: [{object: {cio_object_id: a, id: b}}]\n", ["$.relationships[0].object"]),
        ("mapping", MAPPING.replace("{id: id}", "{anonymous_id: a}"), ["$.identifiers"]),
        ("mapping", MAPPING + "examples: [{row: {id: a}, payload: 7}]\n", ["$.examples[0].payload"]),
        ("mapping", MAPPING + "examples: [{row: {id: a}, payload: {}, skipped: true}]\n", ["$.examples[0]"]),
        ("mapping", "operation: merge\nprimary: {id: a}\n", ["$"]),
        ("mapping", "operation: merge\nprimary: {id: a}\nsecondary: {phone: b}\n", ["$.secondary"]),
        ("mapping", "operation: delete_object\nidentifiers: {id: a}\nobject: {type: 1, id: b}\n", ["$"]),
        ("mapping", "operation: add_to_segment\nidentifiers: {id: a}\nsegment: 0\n", ["$.segment"]),
        ("mapping", JOB, ["$"]),
        ("job", JOB + "step: 1\n", ["$"]),
        ("job", JOB + "name: a/b\n", ["$.name"]),
        ("job", JOB + "name: 7\n", ["$.name"]),
        ("job", JOB + "max_rejects: 1.5\n", ["$.max_rejects"]),
        ("job", JOB + "max_rejects: many\n", ["$.max_rejects"]),
        ("job", JOB + "max_rejects: {at_least: 3}\n", ["$.max_rejects"]),
        ("job", JOB + "max_rejects: {share: 1%, at_least: -3}\n", ["$.max_rejects"]),
        ("job", JOB + "keep_snapshots: yes\n", ["$.keep_snapshots"]),
        ("job", JOB + "rejects: row\n", ["$.rejects"]),
        ("job", JOB + "state: 7\n", ["$.state"]),
        ("job", JOB.replace("${KEY}", "abc"), ["$.destination.api_key"]),
        ("job", JOB.replace("${KEY}", "${KEY}x"), ["$.destination.api_key"]),
        ("job", JOB.replace("{site", "{api: trck, site"), ["$.destination.api"]),
        ("job", JOB.replace("{site", "{api: pipelines, site"), ["$.destination"]),
        ("job", "destination: {api_key: '${KEY}'}\n" + JOB[JOB.index("steps") :], ["$.destination"]),
        ("job", JOB.replace("{site", "{region: usa, site"), ["$.destination.region"]),
        ("job", JOB.replace("{site", "{lanes: 0, site"), ["$.destination.lanes"]),
        ("job", JOB.replace("{site", "{lanes: 257, site"), ["$.destination.lanes"]),
        ("job", JOB.replace("{site", "{lanes: many, site"), ["$.destination.lanes"]),
        ("job", JOB.replace("{site", "{lane: 3, site"), ["$.destination"]),
        ("job", JOB.replace("{site", "{max_batch_bytes: 32099, site"), ["$.destination.max_batch_bytes"]),
        ("job", JOB.replace("{site", "{requests_per_second: 0, site"), ["$.destination.requests_per_second"]),
        ("job", JOB.replace("{site", "{requests_per_second: fast, site"), ["$.destination.requests_per_second"]),
        ("job", JOB.replace("{csv: a.csv}", "{}"), ["$.steps[0].source"]),
        ("job", JOB.replace("csv: a.csv", "cvs: a.csv"), ["$.steps[0].source"]),
        ("job", JOB.replace("csv: a.csv", "csv: a, parquet: b"), ["$.steps[0].source"]),
        ("job", JOB.replace("csv: a.csv", "csv: []"), ["$.steps[0].source.csv"]),
        ("job", JOB.replace("csv: a.csv", "csv: 7"), ["$.steps[0].source.csv"]),
        ("job", JOB.replace("csv: a.csv", "csv: a, separator: ';;'"), ["$.steps[0].source.separator"]),
        ("job", JOB.replace("csv: a.csv", "csv: a, dialect: excell"), ["$.steps[0].source.dialect"]),
        ("job", JOB.replace("csv: a.csv", "csv: a, watermark: b"), ["$.steps[0].source"]),
        ("job", JOB.replace("csv: a.csv", "sql: 'sqlite:///a', table: t, hive: true"), ["$.steps[0].source"]),
        ("job", JOB.replace("csv: a.csv", "sql: 'sqlite:///a', table: t, key: id"), ["$.steps[0].source"]),
        ("job", JOB.replace("csv: a.csv", "sql: 'sqlite:///a', table: [a, b, c, d]"), ["$.steps[0].source.table"]),
        ("job", JOB.replace("csv: a.csv", "delta: a, version: -1"), ["$.steps[0].source.version"]),
        (
            "job",
            JOB.replace("csv: a.csv", "csv: a, storage: {access_key_id: '${KEY}'}"),
            ["$.steps[0].source.storage"],
        ),
        (
            "job",
            JOB.replace("csv: a.csv", "csv: a, storage: {access_key_id: AK, secret_access_key: '${KEY}'}"),
            ["$.steps[0].source.storage.access_key_id"],
        ),
        ("job", JOB.replace("mapping: m.yaml", "mapping: []"), ["$.steps[0].mapping"]),
        ("job", JOB.replace("name: a", "name: a b"), ["$.steps[0].name"]),
        ("job", JOB.replace("name: a,", ""), ["$.steps[0]"]),
        ("job", "steps: []\n", ["$", "$.steps"]),
        ("job", MAPPING, ["$"]),
    ],
)
def test_what_the_schema_rejects_the_loader_rejects_too(kind: SchemaKind, content: str, places: list[str]) -> None:
    assert marked(kind, content) == places
    assert refused(kind, content)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("mapping", MAPPING),
        ("mapping", MAPPING + "attributes: {a: b, c: {column: d}, e: {value: null}, f: {value: {g: [1, true]}}}\n"),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: []}, c: {column: d, apply: lower}}\n"),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: {divide: 2.5}}}\n"),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: [trim, {lower: }, {round: {}}, {map: {p: x}}]}}\n"),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: {map: {values: {p: x}, default: y}}}}\n"),
        ("mapping", MAPPING + "attributes: {a: {column: b, apply: {map: {values: x}}}}\n"),
        (
            "mapping",
            MAPPING + "attributes: {a: {column: b, apply: {timestamp: {timezone: null, format: ['%Y-%m-%d']}}}}\n",
        ),
        ("mapping", MAPPING + 'attributes: {"*": {except: a, rename: snake_case, prefix: c_, nulls: clear}}\n'),
        (
            "mapping",
            "extends: m.yaml\nvars: {x: true, n: 2}\nexisting_only: '${vars.x}'\ndefine: {c: [trim], v: {column: b}}\n"
            "attributes: {a: {use: v, apply: {use: c}}, d: {column: e, apply: [number, {divide: '${vars.n}'}]}}\n",
        ),
        ("mapping", MAPPING + "nulls: clear\nwhen: a = 'b'\nallow_reserved: cio_id\n"),
        ("mapping", MAPPING + "examples: [{row: {id: a}, skipped: true}, {row: {}, rejected: identifier_missing}]\n"),
        ("mapping", TRACK + "event_key: a\ntimestamp: {column: t, apply: timestamp}\n"),
        ("mapping", TRACK.replace("{value: seen}", "kind") + "event_key: [a, b]\n"),
        ("mapping", MAPPING + "attributes: {a: {columns: [b, c], apply: [{concat: ' '}, lower]}, d: {expr: b - c}}\n"),
        ("mapping", MAPPING + "existing_only: true\ntopics: {1: a, '2': {column: b, apply: [{cast: boolean}]}}\n"),
        ("mapping", MAPPING + "relationships: [{object: {type: 1, id: a}, attributes: {role: b}}]\n"),
        ("mapping", MAPPING + "relationships: [{object: {cio_object_id: a}}, {object: {type: {value: '2'}, id: a}}]\n"),
        ("mapping", "operation: merge\nprimary: {id: a}\nsecondary: {email: b}\nretry_unknown: true\n"),
        ("mapping", "operation: add_to_segment\nidentifiers: {id: a}\nsegment: 7\n"),
        ("job", "destination: {api: pipelines, write_key: '${KEY}'}\n" + JOB[JOB.index("steps") :]),
        ("job", JOB),
        ("job", JOB + "name: a-1\nmax_rejects: 2.5 %\nstate: x\nschedule: '0 3 * * *'\nkeep_snapshots: true\n"),
        ("job", JOB + "rejects: rows\n"),
        ("job", JOB + "name: '${SITE}'\nmax_rejects: '${N}'\nstate: '${SITE}'\nkeep_snapshots: '${YES}'\n"),
        ("job", JOB + "name: 'a-${N}'\nmax_rejects: '${N}%'\nkeep_snapshots: '${NO:-false}'\n"),
        ("job", JOB.replace("{site", "{region: '${REGION}', lanes: '${N}', max_batch_bytes: 32100, site")),
        ("job", JOB.replace("{site", "{requests_per_second: '${N}.5', api: '${API:-track}', site")),
        ("job", JOB.replace("{site", "{base_url: 'http://127.0.0.1:1', requests_per_second: unlimited, site")),
        ("job", JOB.replace("mapping: m.yaml", "mapping: [m.yaml]")),
        (
            "job",
            JOB.replace("csv: a.csv", "csv: [a.csv, 's3://b/*.csv'], quote: null, null_values: '', hive: '${YES}'"),
        ),
        ("job", JOB.replace("csv: a.csv", "csv: '-', dialect: '${NO:-mysql}', separator: '${NO:-;}', columns: a")),
        ("job", JOB.replace("csv: a.csv", "ndjson: a, encoding: utf-16, storage: {anonymous: '${YES}'}")),
        ("job", JOB.replace("csv: a.csv", "delta: a, version: '${N}'")),
        ("job", JOB.replace("csv: a.csv", "iceberg: a, snapshot: 3")),
        (
            "job",
            JOB.replace("csv: a.csv", "sql: '${DB}', table: [a, b.c], watermark: w, key: id, lag: '${N}', start: 7"),
        ),
        ("job", JOB.replace("csv: a.csv", "sql: '${DB}', query: 'select :a', parameters: {a: '${SITE}'}")),
        ("job", JOB.replace("yaml}", "yaml, expect: [{row_count: {min: '${N}', max: 9}, severity: warn}]}")),
        ("mapping", MAPPING + "expect: [{not_null: a, allow: 1%}, {unique: [a, b], allow: 3, where: a > 1}]\n"),
        ("mapping", MAPPING + "expect: [{range: {column: a, min: 0.5, max: 9}}, {regex: {column: a, pattern: x}}]\n"),
        ("mapping", MAPPING + "expect: [{freshness: {column: a, within: 2h}}]\n"),
    ],
)
def test_what_the_loader_accepts_the_schema_accepts_too(kind: SchemaKind, content: str) -> None:
    assert not refused(kind, content)
    assert marked(kind, content) == []


# ---------------------------------------------------------------- functions


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_schema_accepts_the_examples_of_every_function(name: str) -> None:
    written = re.findall(r"^>>> .+? \| (.+) -> .+$", FUNCTIONS[name].doc, re.MULTILINE)
    assert written
    for call in written:
        assert marked("mapping", MAPPING + f"attributes: {{a: {{column: b, apply: [{call}]}}}}\n") == [], call


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.just(0.5) | st.sampled_from(["", "a", "UTC", "s", "text"])
GIVEN = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from(["a", "to", "values"]), SCALARS)


def given_to(name: str) -> st.SearchStrategy[object]:
    """Entries of `apply` lists with this function, valid and invalid ones."""
    arguments = dict.fromkeys([*FUNCTIONS[name].parameters, "unknown"], GIVEN)
    return st.just(name) | (GIVEN | st.fixed_dictionaries({}, optional=arguments)).map(lambda given: {name: given})


@settings(max_examples=300, deadline=None)
@given(st.one_of([GIVEN, *(given_to(name) for name in FUNCTIONS)]))
def test_the_schema_accepts_every_call_that_the_loader_accepts(call: object) -> None:
    try:
        parse_call(call)
    except ValueError:
        return
    assert [error.message for error in CALL.iter_errors(call)] == []


# ---------------------------------------------------------------- new keys


def test_a_new_field_of_a_model_is_in_the_schema_automatically() -> None:
    class Wider(Section):
        segment: ValueYaml
        topics: list[str] = []  # noqa: RUF012 (pydantic copies it)
        existing_only: bool = False

    made = Wider.model_json_schema(schema_generator=json_schema._AsWritten)
    assert json.loads(json.dumps(made["properties"])) == {
        "segment": {"$ref": "#/$defs/ValueYaml"},
        "topics": {"items": {"type": "string"}, "type": "array"},
        "existing_only": {"default": False, "type": "boolean"},
    }
    assert made["required"] == ["segment"] and made["additionalProperties"] is False
