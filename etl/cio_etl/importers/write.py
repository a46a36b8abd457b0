"""Writes what was imported as a job and its mappings into a user's folder, none over another file.

jobs/NAME.yaml, mappings/NAME/STEP.yaml, and queries/NAME/STEP.sql for queries of several lines. What could not be
carried over stands as a comment `TO DECIDE` at the top of the file that it is about.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cio_etl.config import MODELINE, PLAIN_NAME, yaml_text
from cio_etl.config.new_files import write_files
from cio_etl.config.yaml_writer import WIDTH, comment, flow, printable, scalar, with_note
from cio_etl.errors import ConfigError, Problem
from cio_etl.importers.lost import Lost
from cio_etl.importers.records import Imported, ImportedStep, Importer

_ORDER = {"identify": 0, "identify_object": 1, "track": 2, "page": 2, "screen": 2}  # people before their events


@dataclass(frozen=True, slots=True)
class Written:
    """The files, the job first, and everything that could not be carried over, in the order of the steps."""

    files: tuple[Path, ...]
    steps: tuple[str, ...]
    lost: tuple[Lost, ...]

    @property
    def job(self) -> Path:
        return self.files[0]


def write_imported(importer: Importer, imported: Imported, folder: Path, name: str) -> Written:
    """Writes the job and its mappings. Raises ConfigError when a file exists already; then none is written."""
    if not PLAIN_NAME.fullmatch(name):
        what = "cannot be the job's name; use up to 100 letters, digits, - and _, beginning with a letter or digit"
        raise ConfigError([Problem(printable(name), None, "", what)])
    steps, schedule, lost = _with_schedule(imported)
    steps = sorted(steps, key=lambda step: _ORDER.get(step.mapping["operation"], 3))
    addresses, named = _addresses(steps)
    lost = [*imported.lost, *lost, *named]
    texts = {Path("jobs", f"{name}.yaml"): ""}
    lines: list[str] = []
    for step in steps:
        mapping_file = Path("mappings", name, f"{step.name}.yaml")
        query_file = Path("queries", name, f"{step.name}.sql")
        texts[mapping_file] = _mapping_text(importer, step)
        source = {"sql": addresses[step.connection], **step.source}
        if step.query is not None:
            in_line = step.query.isprintable() and "${" not in step.query and len(step.query) <= WIDTH
            source |= {"query": step.query} if in_line else {"query_file": query_file.as_posix()}
            if not in_line:
                texts[query_file] = f"{step.query.rstrip()}\n"
        lines += [f"  - name: {scalar(step.name)}", *_source_lines(source), f"    mapping: {scalar(str(mapping_file))}"]
        lines += [f"    {scalar(key)}: {flow(value)}" for key, value in step.more.items()]
    job_file = next(iter(texts))
    texts[job_file] = _job_text(importer, imported.region, schedule, lines, lost)
    files = {folder / path: text for path, text in texts.items()}
    write_files(files, {folder / "jobs": "job", folder / "mappings" / name: "mapping"})
    lost += [one for step in steps for one in step.lost]
    return Written(tuple(files), tuple(step.name for step in steps), tuple(lost))


def _with_schedule(imported: Imported) -> tuple[list[ImportedStep], str | None, list[Lost]]:
    """The schedule that most of the steps have; a job has one, so what other steps had is lost."""
    counts = Counter(step.schedule for step in imported.steps if step.schedule is not None)
    if not counts:
        return list(imported.steps), None, []
    schedule = counts.most_common(1)[0][0]
    steps = []
    for step in imported.steps:
        if step.schedule == schedule:
            steps.append(step)
            continue
        own = "no schedule" if step.schedule is None else f"the schedule {step.schedule!r}"
        why = f"a job has one schedule, and this one has {schedule!r}"
        by_hand = f"put the step {step.name} in a job of its own"
        steps.append(replace(step, lost=(*step.lost, Lost(step.place, own, why, by_hand))))
    return steps, schedule, []


def _addresses(steps: Sequence[ImportedStep]) -> tuple[dict[str, str], list[Lost]]:
    """A variable for the address of each database, by the tool's name for it, and what must be done about it."""
    connections = [*dict.fromkeys(step.connection for step in steps)]
    addresses: dict[str, str] = {}
    lost = []
    for connection in connections:
        plain = re.sub(r"[^A-Z0-9]+", "_", connection.upper()).strip("_")
        variable = "WAREHOUSE_URL" if len(connections) == 1 else f"{plain or 'WAREHOUSE'}_URL"
        while f"${{{variable}}}" in addresses.values() or variable[0].isdigit():
            variable = f"X_{variable}"
        addresses[connection] = f"${{{variable}}}"
        place = next(step.place for step in steps if step.connection == connection)
        why = "its address and password are not in the files"
        by_hand = f"set {variable}, as postgresql://user:password@host/database; see Databases in jobs/README.md"
        lost.append(Lost(place, f"the connection {connection!r}", why, by_hand))
    return addresses, lost


def _source_lines(source: Mapping[str, object]) -> list[str]:
    short = f"    source: {flow(source)}"
    if len(short) <= WIDTH:
        return [short]
    return ["    source:", *(f"      {scalar(key)}: {flow(value)}" for key, value in source.items())]


def _job_text(
    importer: Importer, region: str | None, schedule: str | None, steps: Sequence[str], lost: Sequence[Lost]
) -> str:
    ask = "" if region else "TO DECIDE: us, eu, or auto, which asks where the credentials belong"
    lines = [MODELINE, f"# Imported by `cio-etl import-from {importer.name}`. Nothing is sent before `cio-etl run`."]
    lines += _decisions(lost)
    lines += ["destination:", *with_note(f"region: {region or 'us'}", ask, "  ")]
    lines += ["  site_id: ${CUSTOMERIO_SITE_ID}", "  api_key: ${CUSTOMERIO_API_KEY}"]
    if schedule is not None:
        lines += with_note(f"schedule: {scalar(schedule)}", "read by Airflow only; with cron, write the line there")
    return "\n".join([*lines, "steps:", *steps, ""])


def _mapping_text(importer: Importer, step: ImportedStep) -> str:
    lines = [MODELINE, *comment(f"Imported by `cio-etl import-from {importer.name}` from {step.place}.")]
    return "\n".join([*lines, *_decisions(step.lost), yaml_text(step.mapping)])


def _decisions(lost: Sequence[Lost]) -> Iterator[str]:
    for one in lost:
        yield "#"
        yield from comment(f"TO DECIDE: {one}")
