"""Makes the reference tables of the documentation from the program: TABLES, by name."""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import click

import cio_etl
from cio_etl.apis import APIS, OPERATIONS, PARTS, SEMANTIC_EVENTS, Operation, Payload
from cio_etl.audit import FINDINGS
from cio_etl.cli import cli
from cio_etl.config import describe
from cio_etl.config.expect_sections import ExpectYaml
from cio_etl.config.job_sections import DestinationYaml, JobYaml, StateYaml
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.notify_sections import NotifyYaml
from cio_etl.config.other_columns import OtherColumnsYaml
from cio_etl.config.source_sections import SourceYaml
from cio_etl.config.step_sections import StepYaml
from cio_etl.config.tests_sections import CaseYaml, MappingTestsYaml
from cio_etl.errors import EXIT_CODES
from cio_etl.extract.sql.dialects import DATABASES, Database
from cio_etl.importers import IMPORTERS
from cio_etl.model import CSV_DIALECTS, reason_words
from cio_etl.model.sources.storage import StorageYaml
from cio_etl.model.yaml_section import Section
from cio_etl.presets import presets
from cio_etl.run.options import FAIL_ON_REJECTS, RunOptions, options_of
from cio_etl.telemetry import names
from cio_etl.transform.functions import FUNCTIONS, GROUPS, Function, Parameter, group_of
from tests.faults import FAULTS

Row = tuple[str, ...]


def table(heading: Row, rows: Iterable[Row]) -> str:
    """A Markdown table; a bar within a cell is escaped."""
    lines = [heading, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    first, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([first, f"|{'---|' * len(heading)}", *rest])


# ---------------------------------------------------------------- functions, reasons, findings


def functions() -> str:
    """A heading and a table for each group of functions."""
    heading = ("function", "what it makes", "arguments", "takes", "example", "rejects with")
    parts = []
    for title in GROUPS:
        rows = [function_row(function) for _, function in sorted(FUNCTIONS.items()) if group_of(function) == title]
        parts.append(f"#### {title}\n\n{table(heading, rows)}")
    return "\n\n".join(parts)


def function_row(function: Function) -> Row:
    summary = " ".join(function.doc.split("\n\n")[0].split())
    value, call, result = re.findall(r"^>>> (.+?) \| (.+) -> (.+)$", function.doc, re.MULTILINE)[0]
    return (
        f"`{function.name}`",
        re.split(r"(?<=\.) ", summary)[0],
        "<br>".join(argument(function, parameter) for parameter in function.parameters.values()) or "none",
        ", ".join(function.takes) or "anything",
        f"`{call}`: `{value}` → `{result}`",
        f"`{function.reason}`" if can_reject(function) else "never",
    )


def argument(function: Function, parameter: Parameter) -> str:
    default = inspect.signature(function.build).parameters[parameter.name].default
    if parameter.required:
        return f"`{parameter.name}`: {parameter.kind}"
    shown = "optional" if default is None else f"default `{yaml(default)}`"
    return f"`{parameter.name}`: {parameter.kind}; {shown}"


def yaml(constant: object) -> str:
    return str(constant).lower() if isinstance(constant, bool) else str(constant) or '""'


def can_reject(function: Function) -> bool:
    """Whether the function rejects rows: it has a reason of its own, or an example that ends in `rejected`."""
    return function.reason != f"{function.name}_failed" or "-> rejected" in function.doc


def reasons() -> str:
    return table(
        ("reason", "what it means, and what to do"), [(f"`{code}`", words) for code, words in reason_words().items()]
    )


def findings() -> str:
    rows = [(f"`{code}`", kind.severity, kind.remedy) for code, kind in FINDINGS.items()]
    return table(("finding", "severity", "what to do"), rows)


# ---------------------------------------------------------------- operations


def operations() -> str:
    heading = ("operation", "what it does", "its keys; **required**", "in the Pipelines API")
    return table(heading, [operation_row(*row) for row in OPERATIONS.items()])


def operation_row(name: str, operation: Operation) -> Row:
    parts = [part for part in PARTS if operation.allows(part) and part != "identifiers"]
    keys = [f"**`{part}`**" if part in operation.needs else f"`{part}`" for part in parts]
    pipelines = APIS["pipelines"].payloads.get(name)
    return (f"`{name}`", operation.does, ", ".join(keys), "–" if pipelines is None else pipelines_call(pipelines))


def pipelines_call(payload: Payload) -> str:
    head = payload.fixed
    return f"{head['type']} `{head['event']}`" if "event" in head else str(head["type"])


def attribute_limits() -> str:
    heading = ("operation", "attributes per call", "bytes per value", "reserved names")
    return table(heading, [limits_row(*row) for row in OPERATIONS.items() if row[1].allows("attributes")])


def limits_row(name: str, operation: Operation) -> Row:
    limits = (operation.max_attributes, operation.max_value_bytes)
    return (
        f"`{name}`",
        *("no limit" if limit is None else f"{limit:,}" for limit in limits),
        ", ".join(f"`{reserved}`" for reserved in sorted(operation.reserved)),
    )


def reserved_events() -> str:
    return table(("event name on which Customer.io acts",), [(f"`{name}`",) for name in sorted(SEMANTIC_EVENTS)])


# ---------------------------------------------------------------- YAML keys, sources


def keys_of(model: type[Section]) -> Callable[[], str]:
    """The function that makes the table of a section's keys."""

    def keys() -> str:
        rows = [(f"`{key.name}`", key.description, key.default) for key in describe(model)]
        return table(("key", "what it is", "default"), rows)

    return keys


def databases() -> str:
    heading = ("database", "address", "read by", "extra of pip", "tested against a real server")
    return table(heading, [database_row(database) for database in DATABASES.values()])


READERS = {
    "postgresql": "ADBC",
    "adbc": "Arrow from its driver",
    "duckdb": "its Arrow stream",
    "mysql": "pymysql, unbuffered",
    "sqlite": "Python's sqlite3",
    "cursor": "SQLAlchemy, streaming",
}


def database_row(database: Database) -> Row:
    return (
        database.title,
        f"`{database.address}`",
        READERS[database.module],
        f"`{database.extra}`" if database.extra else "none needed",
        "yes" if database.ran else "no",
    )


# What writes each dialect, for a reader who looks for a tool's name.
WRITTEN_BY = {
    "excel": "Excel, and most others",
    "excel-semicolon": "Excel where the decimal sign is a comma",
    "tab": "tab-separated, quoted where needed",
    "tab-unquoted": "text/tab-separated-values",
    "pipe": "exports of many older systems",
    "mysql": "`SELECT … INTO OUTFILE`",
    "postgresql": "`COPY … WITH (FORMAT csv, HEADER)`",
    "postgresql-text": "`COPY …` without options",
    "redshift": "`UNLOAD … ESCAPE`",
    "hive": "a text table without `ESCAPED BY`",
}


def dialects() -> str:
    return table(("dialect", "settings", "written by"), [dialect_row(*row) for row in CSV_DIALECTS.items()])


def dialect_row(name: str, settings: dict[str, Any]) -> Row:
    shown = [f"`{key}: {json.dumps(value)}`" for key, value in settings.items()]
    return f"`{name}`", ", ".join(shown) or "the defaults", WRITTEN_BY[name]


# ---------------------------------------------------------------- commands, exit codes


def commands() -> str:
    rows = []
    for name, command in sorted(cli.commands.items()):
        pieces = command.collect_usage_pieces(click.Context(command, parent=click.Context(cli, **cli.context_settings)))
        usage = " ".join(["cio-etl", name, *(piece for piece in pieces if piece != "[OPTIONS]")])
        rows.append((f"`{usage}`", " ".join((command.help or "").split("\f")[0].split())))
    return table(("command", "what it does"), rows)


def preset_list() -> str:
    rows = []
    for preset in presets():
        files = ", ".join(f"`{file.file or file.table}`" for file in preset.files)
        rows.append((f"[{preset.title}](presets/{preset.name}/README.md)", files, " ".join(preset.loses)))
    return table(("product", "files or tables", "what is lost"), rows)


def importer_list() -> str:
    rows = [
        (f"`{each.name}`", each.takes, ", ".join(f"[{page.says}]({page.address})" for page in each.pages), words)
        for each in IMPORTERS.values()
        for words in [" ".join(each.loses)]
    ]
    return table(("tool", "what it reads", "documents", "what is never carried over"), rows)


def options() -> str:
    """Every option of every command; those of the same words share a row."""
    commands: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, command in [("all, before their names", cli), *sorted(cli.commands.items())]:
        for option in (param for param in command.params if isinstance(param, click.Option)):
            commands[option_words(option)].append(name)
    rows = [(flag, ", ".join(names), words) for (flag, words), names in commands.items()]
    return table(("option", "commands", "what it does"), rows)


def run_options() -> str:
    """The options of a run by every door."""
    rows = []
    for option in options_of(RunOptions):
        airflow = (
            "argument and param"
            if "param" in option.interfaces
            else "argument"
            if "airflow" in option.interfaces
            else "–"
        )
        flag = f"`{' '.join(filter(None, [option.flag, option.metavar]))}`" if "cli" in option.interfaces else "–"
        rows.append((f"`{option.name}`", flag, airflow, option.help))
    return table(("in Python", "command", "Airflow", "what it does"), rows)


def option_words(option: click.Option) -> tuple[str, str]:
    """An option as it is written, and its help with the choices or the default that there are."""
    words = option.help or ""
    if isinstance(option.type, click.Choice):
        words += f" {' or '.join(option.type.choices)}."
    if option.show_default and not option.is_flag:
        words += f" [default: {option.default}]"
    return f"`{' '.join(filter(None, [option.opts[0], option.metavar]))}`", words


def params() -> str:
    """What a person may choose when an Airflow DAG is started by hand."""
    offered = [option for option in (*options_of(RunOptions), FAIL_ON_REJECTS) if "param" in option.interfaces]
    return table(("param", "what it does"), [(f"`{option.name}`", option.help) for option in offered])


# What a person does after a run that ended with this code. "Again" is explained above the table.
WHAT_TO_DO = {
    0: "nothing",
    1: "again; and report the line on stderr, which contains no data",
    2: "correct the command",
    3: (
        "not urgent: `cio-etl rejects RUN -o rejects.csv`, fix the rows there, `cio-etl replay rejects.csv`; or fix "
        "them at the source. After `inspect`: decide a column, by an option or in the mapping. After `status`: no run "
        "has finished for longer than `expect_every`. After `verify`: somebody is missing or has other values"
    ),
    4: (
        "read the reasons first: one wrong column rejects every row. If the rows are right to be rejected, raise "
        "`max_rejects`, and again. If you fixed the mapping or the rows: again. Too many changes, or rows that are "
        "not as `expect` says: nothing of the step was sent; see Send only what changed, and Expectations. After "
        "`validate`: the report names what `--fail-on` matched"
    ),
    65: (
        "the message names file and line, or the database. If the file, mount or database is back as it was: again. If "
        "you fixed the file or the mapping: again, with `--restart` if that ends with 78. If the new type of a column "
        "is intended: again, with `--accept-drift`"
    ),
    69: "wait for the network or Customer.io, and again. During a run, a batch is retried for 15 minutes first",
    74: (
        "make room on the disk of the state folder, repair the state database, or raise the limit that the message "
        "names (memory, threads, open files), and again"
    ),
    75: "usually nothing: the run before is still active, and the message names its process",
    77: "renew or correct the credentials, and again",
    78: (
        "the message names file and line. If the job, a mapping or a file changed during a run: undo the change, and "
        "again; or abandon the run with `--restart`"
    ),
    130: "again. The same after 137 (`kill -9`, or out of memory) and 134 (a limit of memory, `ulimit -v`)",
}


def exit_codes() -> str:
    """The codes with their meaning and what to do; codes of the same meaning share a row."""
    codes: defaultdict[str, list[int]] = defaultdict(list)
    for code, meaning in EXIT_CODES.items():
        codes[meaning].append(code)
    rows = [(", ".join(map(str, group)), meaning, WHAT_TO_DO[group[0]]) for meaning, group in codes.items()]
    return table(("code", "meaning", "what to do"), rows)


def rooms() -> str:
    """The map of the package, from its docstring."""
    rows = re.findall(r"(?m)^    (\w+(?:\.py|/)) +(.+)$", cio_etl.__doc__ or "")
    return table(("room", "what it does"), [(f"`{name}`", words) for name, words in rows])


def faults() -> str:
    return table(("id", "fault"), [(f"`{identifier}`", words) for identifier, words in FAULTS.items()])


# ---------------------------------------------------------------- telemetry


def metrics() -> str:
    rows = [
        (f"`{each.name}`", each.kind, f"`{each.unit}`", ", ".join(f"`{name}`" for name in each.attributes), each.words)
        for each in names.METRICS
    ]
    return table(("metric", "kind", "unit", "attributes", "what it is"), rows)


def spans() -> str:
    rows = [
        (f"`{each.name}`", each.words, ", ".join(f"`{name}`" for name in each.attributes) or "none")
        for each in names.SPANS
    ]
    return table(("span", "what it is", "attributes"), rows)


def metrics_file() -> str:
    rows = [
        (f"`{each.name}`", ", ".join(f"`{name}`" for name in each.labels), each.words.rstrip("."))
        for each in names.FILE_METRICS
    ]
    return table(("gauge", "labels", "what it is"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "attribute-limits": attribute_limits,
    "commands": commands,
    "databases": databases,
    "destination-keys": keys_of(DestinationYaml),
    "dialects": dialects,
    "exit-codes": exit_codes,
    "expect-keys": keys_of(ExpectYaml),
    "faults": faults,
    "findings": findings,
    "functions": functions,
    "job-keys": keys_of(JobYaml),
    "metrics": metrics,
    "metrics-file": metrics_file,
    "mapping-keys": keys_of(MappingYaml),
    "notify-keys": keys_of(NotifyYaml),
    "operations": operations,
    "other-columns-keys": keys_of(OtherColumnsYaml),
    "options": options,
    "params": params,
    "presets": preset_list,
    "importers": importer_list,
    "reasons": reasons,
    "reserved-events": reserved_events,
    "rooms": rooms,
    "run-options": run_options,
    "spans": spans,
    "source-keys": keys_of(SourceYaml),
    "state-keys": keys_of(StateYaml),
    "step-keys": keys_of(StepYaml),
    "test-keys": keys_of(CaseYaml),
    "tests-keys": keys_of(MappingTestsYaml),
    "storage-keys": keys_of(StorageYaml),
}
