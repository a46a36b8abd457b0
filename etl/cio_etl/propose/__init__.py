"""A first job and mapping proposed for a source (`cio-etl init`), and the formats of its dates (`inspect`).

columns.py       what each column looks like: counts of signs, over the first rows
dates/           which columns hold dates, how they are written, and how they are to be read: `inspect`, too
names.py         what a column's name says
header.py        whether the first line of a file is its header
readings.py      what a column is, and which functions it needs
plan.py          people or events, who, when, and which attributes
yaml_text.py     the plan as commented YAML

Nothing here copies a value: comments, summary and errors hold names and counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cio_etl.config import PLAIN_NAME, SCHEMA_FILE, SchemaKind, is_generated_schema, schema_text
from cio_etl.errors import ConfigError, Problem, SourceError
from cio_etl.model import Snapshot
from cio_etl.propose.columns import NULL_WORDS, Looks, look_at
from cio_etl.propose.dates.decide import Told, decide
from cio_etl.propose.dates.evidence import collect_facts
from cio_etl.propose.header import require_names
from cio_etl.propose.plan import Plan, plan
from cio_etl.propose.readings import read_column
from cio_etl.propose.yaml_text import job_text, mapping_text, printable, shown

__all__ = ["Proposal", "name_from", "propose", "written"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Two files, not written yet, and what to say of them on a terminal."""

    job_file: Path
    mapping_file: Path
    job: str
    mapping: str
    summary: tuple[str, ...]


def name_from(text: str) -> str:
    """A name for a job, made of a file's or a table's: letters, digits, - and _."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:100]
    return name if PLAIN_NAME.fullmatch(name) else "source"


def propose(snapshot: Snapshot, source: Mapping[str, Any], name: str, folder: Path = Path()) -> Proposal:
    """A job and a mapping for the snapshot, as `jobs/NAME.yaml` and `mappings/NAME.yaml` in the folder.

    `source` is the job's `source:` section, by which the snapshot was opened; `name` names the job, its step and, for
    rows that are events, the event. Raises SourceError when the rows cannot be read or say nothing of a person,
    ConfigError when the name cannot be a job's.
    """
    job_file, mapping_file = (folder / kind / f"{name}.yaml" for kind in ("jobs", "mappings"))
    if not PLAIN_NAME.fullmatch(name):
        what = "cannot be the job's name; use up to 100 letters, digits, - and _, beginning with a letter or digit"
        raise ConfigError([Problem(printable(name), None, "", what)])
    if not snapshot.schema:
        raise SourceError("name a source with columns", place=name, what="it has no columns")
    if "csv" in source:
        require_names(name, snapshot.schema.names())
    words_for_null = "csv" in source and "null_values" not in source
    looks = look_at(snapshot, words_for_null)
    proposed = _planned(snapshot, looks, name, words_for_null)
    section, notes = _with_null_words(source, looks)
    about = _about(looks, section)
    return Proposal(
        job_file=job_file,
        mapping_file=mapping_file,
        job=job_text(section, name, str(mapping_file), notes),
        mapping=mapping_text(proposed, about, str(job_file)),
        summary=tuple(_summary(proposed, about, job_file, mapping_file)),
    )


def written(proposal: Proposal) -> None:
    """Writes the two files, neither ever written over, and beside each the schema that its editor reads.

    Raises ConfigError when one is there already.
    """
    files = {proposal.job_file: proposal.job, proposal.mapping_file: proposal.mapping}
    there = [path for path in files if os.path.lexists(path)]
    if there:
        raise ConfigError(_there(path) for path in there)
    made: list[Path] = []
    try:
        for path, text in files.items():
            _make(path, text)
            made.append(path)
        _make_schema(proposal.job_file.parent / SCHEMA_FILE, "job")
        _make_schema(proposal.mapping_file.parent / SCHEMA_FILE, "mapping")
    except ConfigError:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _make(path: Path, text: str) -> None:
    try:
        os.makedirs(path.parent, exist_ok=True)
        file = path.open("x", encoding="utf-8")  # O_EXCL: somebody may have made it meanwhile
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(path):
            raise ConfigError([_there(path)]) from None
        raise ConfigError([_failed(path, error)]) from None
    try:
        with file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError([_failed(path, error)]) from None


def _make_schema(path: Path, kind: SchemaKind) -> None:
    """Writes the schema, over an older one of ours too; a file of somebody else stays as it is."""
    try:
        if os.path.lexists(path):
            if path.is_symlink() or not is_generated_schema(path.read_text(encoding="utf-8", errors="replace")):
                return
            path.unlink()
    except OSError as error:
        raise ConfigError([_failed(path, error)]) from None
    _make(path, schema_text(kind))


def _failed(path: Path, error: OSError) -> Problem:
    return Problem(str(path), None, "", f"cannot be written: {os.strerror(error.errno or 0)}; make room for it")


def _there(path: Path) -> Problem:
    return Problem(str(path), None, "", "is there already, and is not written over; choose another name, or move it")


def _planned(snapshot: Snapshot, looks: Looks, name: str, words_for_null: bool) -> Plan:
    seen = collect_facts(snapshot, [look.name for look in looks.columns], words_for_null)
    dates = {name: decide(evidence, Told()) for name, evidence in seen.items()}
    return plan([read_column(look, dates.get(look.name)) for look in looks.columns], name)


def _with_null_words(source: Mapping[str, Any], looks: Looks) -> tuple[dict[str, Any], list[str]]:
    """The section with the words that stand for nothing, where the columns have some."""
    found = {word for look in looks.columns for word in look.null_words}
    if not found:
        return dict(source), []
    fields = sum(look.in_null_words for look in looks.columns)
    words = [word for word in NULL_WORDS if word in found]
    note = f"null_values: {fields:,} fields hold one of these words; take one out if it is meant as text."
    return {**source, "null_values": ["", *words]}, [note]


def _about(looks: Looks, source: Mapping[str, Any]) -> str:
    where = next((source[key] for key in ("csv", "parquet", "table", "query_file") if key in source), "the source")
    named = where if isinstance(where, str) else f"{where[0]} and others" if where else "the source"
    rows = f"the first {looks.rows:,} of {looks.of_rows:,} rows" if looks.partly else f"{looks.rows:,} rows"
    faulty = f", {looks.faulty:,} more could not be read" if looks.faulty else ""
    return f"{rows} and {len(looks.columns):,} columns of {printable(str(named))}{faulty}"


def _summary(proposed: Plan, about: str, job_file: Path, mapping_file: Path) -> list[str]:
    roles = [f"{proposed.kind} from {shown(proposed.who.name)}"]
    if proposed.timestamp is not None:
        roles.append(f"timestamp from {shown(proposed.timestamp.name)}")
    if proposed.event_key is not None:
        roles.append(f"event_key {shown(proposed.event_key.name)}")
    lines = [about, f"{proposed.operation}: {', '.join(roles)}; {len(proposed.attributes):,} attributes"]
    lines += [f"to decide: {_path(place)}: {question}" for place, question in proposed.decisions]
    for title, names in (
        ("personal", [one.name for one in proposed.readings if one.personal and not one.left_out]),
        ("left out", [one.name for one in proposed.readings if one.left_out]),
    ):
        if names:
            lines.append(f"{title}: {', '.join(shown(name) for name in names)}")
    return [*lines, f"written: {printable(str(job_file))}, {printable(str(mapping_file))}"]


def _path(place: str) -> str:
    head, dot, name = place.partition(".")
    return head + dot + (shown(name) if dot else "")
