"""A first job and its mappings proposed for sources (`cio-etl init`), and the formats of their dates (`inspect`).

nested.py        members of objects as columns
columns.py       what each column looks like: counts of signs, over the first rows
dates/           which columns hold dates, how they are written, and how they are to be read: `inspect`, too
names.py         what a column's name says
header.py        whether the first line of a file is its header
readings.py      what a column is, and which functions it needs
roles.py         which columns could be the person, the key, the time and the event's name
subject.py       people or events: the evidence for both
plan.py          the parts of the mapping, and the reasons
attributes.py    the names of the attributes
mapping_text.py  a plan as a mapping
job_text.py      the steps as a job
files.py         writes the files

Nothing here copies a value: comments, summary and errors hold names and counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cio_etl.config import PLAIN_NAME
from cio_etl.config.yaml_writer import place, printable, shown
from cio_etl.errors import ConfigError, Problem, SourceError
from cio_etl.model import Snapshot
from cio_etl.model.sources import KINDS
from cio_etl.model.words import counted
from cio_etl.propose.columns import NULL_WORDS, Looks, distinct_rows, look_at
from cio_etl.propose.dates.decide import Statements, decide
from cio_etl.propose.dates.evidence import collect_facts
from cio_etl.propose.files import write_proposal
from cio_etl.propose.header import require_names
from cio_etl.propose.job_text import SENDS_CHANGES, StepText, job_text
from cio_etl.propose.mapping_text import mapping_text
from cio_etl.propose.nested import with_members
from cio_etl.propose.plan import Plan, Proposed, plan
from cio_etl.propose.readings import read_columns
from cio_etl.propose.subject import Subject

__all__ = ["Proposal", "ProposedStep", "job_of", "name_from", "propose", "write_proposal"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Files that are not written yet, and the lines that describe them on a terminal."""

    job_file: Path
    job: str
    mappings: Mapping[Path, str]
    summary: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProposedStep:
    """The proposal for one source. `section` is its `source:` in the job; `about` describes its rows."""

    name: str
    proposed: Proposed
    section: Mapping[str, Any]
    about: str
    notes: tuple[str, ...]
    rejects: int  # of `rows`, at most
    rows: int
    reads_once: bool = False  # the source may return other rows when it is read again
    key: tuple[str, ...] = ()  # the primary key of a database's table

    @property
    def sends_changes(self) -> bool:
        """Whether the step is to send only what changed: of a table with a key, and rows that can be recognised."""
        return bool(self.key) and (not self.is_about_events or bool(self.proposed.plan.event_key))

    @property
    def is_about_events(self) -> bool:
        return self.proposed.plan.operation == "track"


def name_from(text: str) -> str:
    """A name for a job, from a file's or a table's: letters, digits, - and _."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:100]
    return name if PLAIN_NAME.fullmatch(name) else "source"


def propose(
    snapshot: Snapshot,
    source: Mapping[str, Any],
    name: str,
    *,
    subject: Subject | None = None,
    timezone: str | None = None,
    reads_once: bool = False,
    key: Sequence[str] = (),
) -> ProposedStep:
    """A step and its mapping for the snapshot.

    `source` is the job's `source:` section, by which the snapshot was opened; `name` names the step and, for rows that
    are events without a column for it, the event. `subject` and `timezone` are what a person states about the rows.
    `reads_once`: the source may return other rows when it is read again. `key`: the primary key of a database's table.
    Raises SourceError when the rows cannot be read or no column could identify a person.
    """
    if not snapshot.schema:
        raise SourceError("name a source with columns", place=name, what="it has no columns")
    if "csv" in source:
        require_names(str(source["csv"]), snapshot.schema.names())
    words_for_null = "csv" in source and "null_values" not in source
    snapshot, members = with_members(snapshot)
    looks = look_at(snapshot, words_for_null, members=members)
    facts = collect_facts(snapshot, [look.name for look in looks.columns], words_for_null)
    dates = {column: decide(evidence, Statements(timezone=timezone)) for column, evidence in facts.items()}
    count_distinct = partial(distinct_rows, snapshot)
    proposed = plan(read_columns(looks, dates), name, _source_name(source), count_distinct, subject)
    section, notes = _with_null_words(source, looks)
    if "skip_lines" in source:
        lines = counted(source["skip_lines"], "line")
        notes.append(f"skip_lines: {lines} above the header, which look like titles.")
    if "comment" in source:
        notes.append(f"comment: lines that begin with {source['comment']} are left out.")
    rejects, rows = proposed.plan.rejects + looks.faulty, looks.rows + looks.faulty
    about = _about(looks, section)
    return ProposedStep(name, proposed, section, about, tuple(notes), rejects, rows, reads_once, tuple(key))


def job_of(steps: Sequence[ProposedStep], name: str, folder: Path = Path()) -> Proposal:
    """The job `jobs/NAME.yaml` with its mappings, `mappings/NAME.yaml` or one for each step, in the folder.

    Steps of people come before those of events. Raises ConfigError when the name cannot be a job's.
    """
    if not PLAIN_NAME.fullmatch(name):
        what = "cannot be the job's name; use up to 100 letters, digits, - and _, beginning with a letter or digit"
        raise ConfigError([Problem(printable(name), None, "", what)])
    job_file = folder / "jobs" / f"{name}.yaml"
    ordered = sorted(steps, key=lambda step: step.is_about_events)
    mapping_names = {step.name: name if len(steps) == 1 else f"{name}_{step.name}" for step in ordered}
    files = {step: folder / "mappings" / f"{mapping}.yaml" for step, mapping in mapping_names.items()}
    texts = [
        StepText(
            step.name,
            step.section,
            str(files[step.name]),
            step.notes,
            step.rejects,
            step.rows,
            step.reads_once,
            step.sends_changes,
        )
        for step in ordered
    ]
    summary = [line for step in ordered for line in _summary(step, len(ordered) > 1)]
    paths = ", ".join(printable(str(path)) for path in (job_file, *files.values()))
    return Proposal(
        job_file=job_file,
        job=job_text(texts),
        mappings={files[step.name]: mapping_text(step.proposed, step.about, str(job_file)) for step in ordered},
        summary=(*summary, f"written: {paths}"),
    )


def _source_name(source: Mapping[str, Any]) -> str:
    """The name of the file or table, without folders and endings."""
    named = str(next((source[key] for key in ("table", "query_file", *_KINDS) if key in source), ""))
    return Path(named).name.partition(".")[0] if "table" not in source else named.rpartition(".")[2]


_KINDS = [kind.kind() for kind in KINDS]


def _with_null_words(source: Mapping[str, Any], looks: Looks) -> tuple[dict[str, Any], list[str]]:
    """The section with the words that stand for nothing, where the columns have some."""
    words = {word for look in looks.columns for word in look.null_words}
    if not words:
        return dict(source), []
    fields = sum(look.in_null_words for look in looks.columns)
    note = f"null_values: {fields:,} fields hold one of these words; take one out if it is meant as text."
    return {**source, "null_values": ["", *(word for word in NULL_WORDS if word in words)]}, [note]


def _about(looks: Looks, source: Mapping[str, Any]) -> str:
    where = next((source[key] for key in ("table", "query_file", *_KINDS) if key in source), "the source")
    named = where if isinstance(where, str) else f"{where[0]} and others" if where else "the source"
    named = f"the table {named}" if "table" in source else named
    rows = counted(looks.of_rows if looks.partly else looks.rows, "row")
    rows = f"the first {looks.rows:,} of {rows}" if looks.partly else rows
    faulty = f", {looks.faulty:,} more could not be read" if looks.faulty else ""
    return f"{rows} and {counted(len(looks.columns), 'column')} of {printable(str(named))}{faulty}"


def _summary(step: ProposedStep, with_name: bool) -> list[str]:
    proposed, prefix = step.proposed, f"{step.name}: " if with_name else ""
    lines = [step.about, _roles(proposed.plan)]
    if proposed.verdict.evidence:
        lines.append(f"because: {'; '.join(map(printable, proposed.verdict.evidence))}")
    if step.sends_changes:
        named = ", ".join(map(shown, step.key))
        lines.append(f"sync: changed, since the table has the key {named}: {SENDS_CHANGES}")
    lines += [f"to decide: {place(where)}: {printable(question)}" for where, question in proposed.decisions]
    readings = proposed.plan.readings
    for title, names in (
        ("personal", [one.name for one in readings if one.personal and not one.left_out]),
        ("left out", [one.name for one in readings if one.left_out]),
    ):
        if names:
            lines.append(f"{title}: {', '.join(shown(name) for name in names)}")
    return [f"{prefix}{line}" for line in lines]


def _roles(proposed: Plan) -> str:
    roles = [f"{proposed.kind} from {shown(proposed.person.name)}"]
    if proposed.event is not None:
        roles.append(f"event from {shown(proposed.event.name)}")
    if proposed.timestamp is not None:
        roles.append(f"timestamp from {shown(proposed.timestamp.name)}")
    if proposed.event_key:
        roles.append(f"event_key {', '.join(map(shown, proposed.event_key))}")
    return f"{proposed.operation}: {', '.join(roles)}; {counted(len(proposed.attributes), 'attribute')}"
