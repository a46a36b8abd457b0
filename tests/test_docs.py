"""Is what the README says true? Its tables equal the code, its examples run, what it names is there."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest

import cio_etl
from cio_etl.audit import FINDINGS
from cio_etl.cli import EXIT_CODES, cli, demo, main
from cio_etl.config import describe, load_job, load_mapping, load_source
from cio_etl.config.examples import check_examples
from cio_etl.config.job_sections import DestinationYaml, JobYaml, StateYaml, StepYaml
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.references import resolve_address
from cio_etl.config.source_sections import SourceYaml
from cio_etl.config.validation import validated
from cio_etl.config.yaml_file import read_yaml
from cio_etl.extract.sql.dialects import DATABASES, Database
from cio_etl.load.destinations.track import judge
from cio_etl.model import CSV_DIALECTS, Refused, Split
from cio_etl.model.yaml_section import Section
from cio_etl.transform import reason_words
from cio_etl.transform.functions import FUNCTIONS, GROUPS, Function, Parameter, group_of
from cio_etl.transform.operations import OPERATIONS, PARTS, SEMANTIC_EVENTS, Operation
from cio_etl.transform.payloads import SHAPES, Shape
from tests.running import environment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"(?ms)^```.*?^```$", "", README)

Rows = list[tuple[str, ...]]


def table_after(marker: str) -> Rows:
    """The rows of the first table after a text that stands in the README once; without its heading."""
    assert README.count(marker) == 1, f"{marker!r} must stand in the README once"
    rest = README[README.index(marker) :]
    lines = re.search(r"(?m)(?:^\|.*\n)+", rest)
    assert lines is not None, f"no table after {marker!r}"
    return [tuple(cell.strip() for cell in line.strip(" |").split(" | ")) for line in lines[0].splitlines()[2:]]


def assert_table(marker: str, expected: Sequence[tuple[str, ...]]) -> None:
    """The table after `marker` has these rows; the message is what should stand there."""
    written = "\n".join(f"| {' | '.join(row)} |" for row in expected)
    assert table_after(marker) == [*expected], f"the table after {marker!r} must be:\n\n{written}\n"


def section(heading: str) -> str:
    """The text between a heading and the next one of its kind."""
    level = heading.split(" ")[0]
    return README.split(f"\n{heading}\n")[1].split(f"\n{level} ")[0]


# ---------------------------------------------------------------- tables


def function_row(function: Function) -> tuple[str, ...]:
    said = " ".join(function.doc.split("\n\n")[0].split())
    row, call, made = re.findall(r"^>>> (.+?) \| (.+) -> (.+)$", function.doc, re.MULTILINE)[0]
    return (
        f"`{function.name}`",
        re.split(r"(?<=\.) ", said)[0],
        "<br>".join(argument(function, parameter) for parameter in function.parameters.values()) or "none",
        ", ".join(function.takes) or "anything",
        f"`{call}`: `{row}` → `{made}`",
        f"`{function.reason}`" if can_reject(function) else "never",
    )


def argument(function: Function, parameter: Parameter) -> str:
    default = inspect.signature(function.build).parameters[parameter.name].default
    said = "" if parameter.required else ", may be left out" if default is None else f", else `{yaml(default)}`"
    return f"`{parameter.name}`: {parameter.kind}{said}"


def yaml(constant: object) -> str:
    return str(constant).lower() if isinstance(constant, bool) else str(constant) or '""'


def can_reject(function: Function) -> bool:
    """Whether the function makes null of anything: it has a reason of its own, or says so in an example."""
    return function.reason != f"{function.name}_failed" or "-> rejected" in function.doc


def test_the_table_of_functions_is_the_one_of_the_code() -> None:
    """A table for each group; all of them together hold every function."""
    for title in GROUPS:
        rows = [function_row(function) for _, function in sorted(FUNCTIONS.items()) if group_of(function) == title]
        assert_table(f"**{title}**", rows)
    listed = re.findall(r"(?m)^\| `(\w+)` \|", section("### Functions of `apply`"))
    assert sorted(listed) == sorted(FUNCTIONS)


def test_the_table_of_reasons_is_the_one_of_the_code() -> None:
    assert_table("Before it was sent:", [(f"`{reason}`", words) for reason, words in reason_words().items()])


def test_the_table_of_findings_is_the_one_of_the_code() -> None:
    assert_table("### What else was found", [(f"`{code}`", kind.remedy) for code, kind in FINDINGS.items()])


def test_every_reason_of_a_function_is_said_in_words() -> None:
    reasons = {function.reason for function in FUNCTIONS.values() if can_reject(function)}
    assert reasons - reason_words().keys() == set()


@pytest.mark.parametrize(
    ("status", "body", "written"),
    [
        (400, b'{"errors": [{"batch_index": 0, "reason": "invalid"}]}', "refused_…"),
        (400, b'{"errors": [{"batch_index": 0}]}', "refused"),
        (400, b"no JSON", "http_400"),
        (413, b"", "http_413"),
        (207, b'{"errors": [{"batch_index": 9}]}', "answer_unreadable"),
    ],
)
def test_a_reason_that_an_answer_gives_stands_in_the_readme(status: int, body: bytes, written: str) -> None:
    verdict = judge(status, {}, body, 2, "localhost")
    assert isinstance(verdict, Refused | Split)
    reason = verdict.errors[0].reason if isinstance(verdict, Refused) else verdict.reason
    assert re.fullmatch(written.replace("…", ".+"), reason)
    assert f"`{written}`" in [row[0] for row in table_after("By Customer.io, whose own words")]


def operation_row(name: str, operation: Operation) -> tuple[str, ...]:
    parts = [part for part in PARTS if operation.allows(part) and part != "identifiers"]
    said = [f"**`{part}`**" if part in operation.needs else f"`{part}`" for part in parts]
    pipelines = SHAPES["pipelines"].get(name)
    return (f"`{name}`", operation.does, ", ".join(said), "–" if pipelines is None else _call(pipelines))


def _call(shape: Shape) -> str:
    head = shape.head
    return f"{head['type']} `{head['event']}`" if "event" in head else str(head["type"])


def limits_row(name: str, operation: Operation) -> tuple[str, ...]:
    limits = (operation.max_attributes, operation.max_value_bytes)
    return (
        f"`{name}`",
        *("no limit" if limit is None else f"{limit:,}" for limit in limits),
        ", ".join(f"`{reserved}`" for reserved in sorted(operation.reserved)),
    )


def database_row(database: Database) -> tuple[str, ...]:
    readers = {
        "postgresql": "ADBC",
        "adbc": "Arrow from its driver",
        "duckdb": "its Arrow stream",
        "mysql": "pymysql, unbuffered",
        "sqlite": "Python's sqlite3",
        "cursor": "SQLAlchemy, streaming",
    }
    return (
        database.title,
        f"`{database.address}`",
        readers[database.module],
        f"`{database.extra}`" if database.extra else "none needed",
        "yes" if database.ran else "no",
    )


def test_the_table_of_databases_is_the_one_of_the_code() -> None:
    assert_table("The driver comes with an extra", [database_row(database) for database in DATABASES.values()])


def dialect_row(name: str, settings: dict[str, Any]) -> tuple[str, ...]:
    said = [f"`{key}: {json.dumps(value)}`" for key, value in settings.items()]
    return f"`{name}`", ", ".join(said) or "the defaults", CSV_DIALECT_OF[name]


# What writes each, for a reader who looks for a tool's name.
CSV_DIALECT_OF = {
    "excel": "Excel, and most others",
    "excel-semicolon": "Excel where the decimal sign is a comma",
    "tab": "tab-separated, quoted where needed",
    "tab-unquoted": "text/tab-separated-values",
    "pipe": "exports of many older systems",
    "mysql": "`SELECT … INTO OUTFILE`",
    "postgresql": "`COPY … WITH (FORMAT csv, HEADER)`",
    "postgresql-text": "`COPY …` by itself",
    "redshift": "`UNLOAD … ESCAPE`",
    "hive": "a text table without `ESCAPED BY`",
}


def test_the_table_of_dialects_is_the_one_of_the_code() -> None:
    assert_table("A CSV `dialect:` stands for", [dialect_row(*row) for row in CSV_DIALECTS.items()])


def test_the_table_of_operations_is_the_one_of_the_code() -> None:
    assert_table("**Operations**", [operation_row(*row) for row in OPERATIONS.items()])
    with_attributes = [row for row in OPERATIONS.items() if row[1].allows("attributes")]
    assert_table("What may be among attributes:", [limits_row(*row) for row in with_attributes])
    assert [name for name in sorted(SEMANTIC_EVENTS) if f"`{name}`" not in section("## Mappings")] == []


@pytest.mark.parametrize(
    ("marker", "model"),
    [
        ("**The job**", JobYaml),
        ("**destination**", DestinationYaml),
        ("**state**", StateYaml),
        ("**A step**", StepYaml),
        ("**source**", SourceYaml),
        ("\n## Mappings", MappingYaml),
    ],
)
def test_every_key_of_the_yaml_is_explained_with_its_range_and_its_default(marker: str, model: type[Section]) -> None:
    rows = {key.strip("`"): (words, default) for key, words, default in map(with_default, table_after(marker))}
    assert list(rows) == [key.name for key in describe(model)]
    for key in describe(model):
        words, default = rows[key.name]
        plain = re.sub(r"\[([^\]]+)\]\(#[^)]*\)", r"\1", words)
        assert (plain, default) == (key.description, key.default), key.name
        assert [bound for bound in (key.minimum, key.maximum) if bound and f"{bound:,}" not in words] == [], key.name


def with_default(row: tuple[str, ...]) -> tuple[str, ...]:
    return row if len(row) == 3 else (*row, "")


# ---------------------------------------------------------------- commands


def test_the_table_of_commands_is_the_one_of_the_help() -> None:
    expected = []
    for name, command in sorted(cli.commands.items()):
        words = command.collect_usage_pieces(click.Context(command, parent=click.Context(cli, **cli.context_settings)))
        usage = " ".join(["cio-etl", name, *(word for word in words if word != "[OPTIONS]")])
        expected.append((f"`{usage}`", " ".join((command.help or "").split())))
    assert_table("| command | what it does |", expected)


def test_the_table_of_options_is_the_one_of_the_help() -> None:
    commands: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, command in [("all, before their names", cli), *sorted(cli.commands.items())]:
        for option in (param for param in command.params if isinstance(param, click.Option)):
            commands[option_words(option)].append(name)
    assert_table("| option | of |", [(flag, ", ".join(of), words) for (flag, words), of in commands.items()])


def option_words(option: click.Option) -> tuple[str, str]:
    """An option as it is written, and its help with the choices or the default that there are."""
    words = option.help or ""
    if isinstance(option.type, click.Choice):
        words += f" {' or '.join(option.type.choices)}."
    if option.show_default and not option.is_flag:
        words += f" [default: {option.default}]"
    return f"`{' '.join(filter(None, [option.opts[0], option.metavar]))}`", words


def test_the_table_of_exit_codes_is_the_one_of_the_help() -> None:
    said = re.findall(r"(\d+(?:, \d+)*)  (\S.*?)(?=\s{3,}|\n|$)", EXIT_CODES)
    in_order = sorted(said, key=lambda pair: int(pair[0].split(",")[0]))
    assert [row[:2] for row in table_after("### Exit codes, and what to do")] == in_order
    assert all(len(row) == 3 and row[2] for row in table_after("### Exit codes, and what to do"))


# ---------------------------------------------------------------- examples


def test_every_yaml_example_is_in_order_and_its_own_examples_come_out() -> None:
    shutil.copytree(ROOT / "mappings", "mappings")
    Path("jobs").mkdir()
    blocks = re.findall(r"(?ms)^```yaml\n# ((?:jobs|mappings)/\w+\.yaml)\n(.*?)^```$", README)
    sources = re.findall(r"(?ms)^```yaml\n(source:\n.*?)^```$", README)
    states = re.findall(r"(?ms)^```yaml\n(state:\n.*?)^```$", README)
    assert len(blocks) + len(sources) + len(states) == README.count("\n```yaml\n") > 1
    for text in states:
        Path("state.yaml").write_text(text, encoding="utf-8")
        written = (read_yaml(Path("state.yaml")).data or {})["state"]
        written["database"] = resolve_address(written["database"], {"ETL_STATE_URL": "postgresql://db/etl"})
        assert validated(StateYaml, written)[1] == []
    for number, text in enumerate(sources):
        Path(f"{number}.yaml").write_text(text, encoding="utf-8")
        load_source((read_yaml(Path(f"{number}.yaml")).data or {})["source"], {"WAREHOUSE_URL": "sqlite:///shop.db"})
    for name, block in blocks:
        Path(name).write_text(block, encoding="utf-8")
    for path in (Path(name) for name, _ in blocks):
        if path.parent.name == "jobs":
            load_job(path, {}, secrets=False, sources=False)
        else:
            mapping = load_mapping(path)
            assert mapping.examples and list(check_examples(mapping)) == []


def test_the_five_minutes_run_as_they_are_written(tmp_path: Path) -> None:
    blocks = re.findall(r"(?ms)^```(sh|text)\n(.*?)^```$", section("## Five minutes with your own CSV file"))
    script = "".join(f"{text}echo @@ $?\n" for kind, text in blocks if kind == "sh")
    home = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{environment()['PATH']}"}
    ran = subprocess.run(
        ["bash", "-c", script], env=environment() | home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    outputs = re.split(r"@@ (\d+)\n", ran.stdout)
    codes, printed = list(map(int, outputs[1::2])), iter(outputs[::2])
    assert codes == [0, 0, 0, 0, 0, 3, 3], ran.stdout
    for (kind, _), (following, text) in pairwise([*blocks, ("sh", "")]):
        output = next(printed) if kind == "sh" else ""
        if following == "text":
            assert_printed(text, output)
    assert len(list((tmp_path / "spring").iterdir())) == 4  # the three files, and the state


def test_the_demo_prints_what_the_first_screen_shows(capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("jobs", "mappings"):
        shutil.copytree(ROOT / folder, folder)
    demo.write(Path(".etl/demo"))
    assert main(["validate", "jobs/demo.yaml"]) == 3
    _, shown = README.split("demo.sandbox-… finished: ")
    counts, lines = shown.split("\n```")[0].split("\n", 1)
    assert_printed(f"validation finished: {counts}\n{lines}", capsys.readouterr().out)


def assert_printed(shown: str, output: str) -> None:
    """Each line that is shown was printed, in this order; … stands for what is left out."""
    rest = output.splitlines()
    for line in shown.splitlines():
        pattern = re.escape(line).replace("…", ".*")
        place = next((place for place, came in enumerate(rest) if re.fullmatch(pattern, came)), None)
        assert place is not None, f"{line!r} was not printed, or not in this order:\n{output}"
        rest = rest[place + 1 :]


# ---------------------------------------------------------------- what is named is there


def anchors() -> set[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", PROSE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    dead = [link for link in links if link.startswith("#") and link[1:] not in anchors()]
    dead += [link for link in links if not link.startswith(("#", "https://")) and not (ROOT / link).exists()]
    assert links and dead == []


def test_every_path_and_make_target_exists() -> None:
    paths = re.findall(r"`((?:etl|tests|mappings|jobs)/[\w./*-]*)`", PROSE)
    assert paths and [path for path in paths if not any(ROOT.glob(path))] == []
    targets = re.findall(r"(?m)(?:^|`)make ([a-z][a-z-]*)", README)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"demo", "test"} <= set(targets)
    assert [target for target in targets if not re.search(rf"(?m)^{target}:", makefile)] == []


def rooms() -> set[str]:
    house = Path(cio_etl.__file__).parent
    files = {path.name for path in house.glob("*.py") if path.name != "__init__.py"}
    return files | {f"{path.parent.name}/" for path in house.glob("*/__init__.py")}


def test_the_map_of_the_package_names_every_room_and_no_other() -> None:
    assert cio_etl.__doc__ is not None
    assert sorted(re.findall(r"(?m)^    (\w+(?:\.py|/)) ", cio_etl.__doc__)) == sorted(rooms())


def test_importing_the_package_alone_loads_nothing() -> None:
    tree = ast.parse(Path(cio_etl.__file__).read_text(encoding="utf-8"))
    assert not any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree))


# ---------------------------------------------------------------- every file


def undocumented() -> Iterator[str]:
    """Modules, and their public functions and classes, that say nothing of themselves; an entry point has its help."""
    for path in sorted(Path(cio_etl.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        public = (
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and node.name != "main"
        )
        for node in (tree, *public):
            if not ast.get_docstring(node):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}: {getattr(node, 'name', 'the module')}"


def test_every_module_and_every_public_function_and_class_says_what_it_is_for() -> None:
    assert list(undocumented()) == []


# A folder of somebody's machine, a registry's host, or the option that names one.
PRIVATE = re.compile(
    r"(?<![\w.])/(?:root|work|home|Users)/|\b[\w.-]*(?:pypi|pythonhosted|artifactory|jfrog|nexus|registry)[\w-]*\.[a-z]{2,}"
    r"|index-ur[l]",
    re.IGNORECASE,
)


def files() -> Iterator[Path]:
    """What the repository consists of: no environments, caches or states, whose names begin with a dot."""
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".") or path.name in (".ci", ".gitignore")]
    for path in (inner for top in tops for inner in (top, *top.rglob("*"))):
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path):
            yield path


def test_no_file_names_a_folder_of_somebody_s_machine_or_a_package_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if PRIVATE.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("line", ["cd /" + "home/ada/etl", "https://py" + "pi.org/simple", "--extra-index" + "-url x"])
def test_such_a_line_would_be_found(line: str) -> None:
    assert PRIVATE.search(line)
