"""Writes the report as JSON: report.json for programs, and status.json with the few lines that a monitor needs."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cio_etl.model import Report, StepReport

_STATUS = ("run_id", "job", "status", "exit_code", "reason", "resumable", "resume_command", "started_at", "finished_at")


def as_json(report: Report, resume_command: str | None = None) -> dict[str, Any]:
    """The report as JSON types, with the rates of its steps, and the command that resumes the run."""
    content: dict[str, Any] = {}
    for name, value in asdict(replace(report, steps=())).items():
        content[name] = value
        if name == "resumable":
            content["resume_command"] = resume_command
    return content | {"steps": [_step(step) for step in report.steps]}


def _step(step: StepReport) -> dict[str, Any]:
    """A step's counts are keys of the step itself. Its lists come last."""
    content = asdict(step)
    rows = content.pop("rows")
    counts, seconds = content.pop("counts"), content.pop("seconds")
    first = {name: content.pop(name) for name in ("name", "status", "rows_read")}
    return {
        **first,
        **counts,
        "seconds": seconds,
        "rows": rows,
        "rows_per_second": round(step.rows_per_second, 1),
        **content,
    }


def write_report(report: Report, folder: Path, resume_command: str | None = None) -> Path:
    """Writes report.json and status.json into `folder` (0600, each whole or not at all); the report's path."""
    content = as_json(report, resume_command)
    _write_status(content, report.counts.settled, folder)
    return _write(folder / "report.json", content)


def write_status(report: Report, folder: Path, resume_command: str | None = None, settled: int | None = None) -> None:
    """Writes status.json alone, while a run is at work; `settled` rows by now, those of the report unless given."""
    _write_status(as_json(report, resume_command), report.counts.settled if settled is None else settled, folder)


def _write_status(content: dict[str, Any], settled: int, folder: Path) -> None:
    write_status_json(folder, {key: content[key] for key in _STATUS} | {"settled": settled})


def write_status_json(folder: Path, content: dict[str, Any]) -> None:
    """Writes the content of status.json; returns when it is on the disk."""
    _write(folder / "status.json", content, durable=True)


def _write(path: Path, content: dict[str, Any], *, durable: bool = False) -> Path:
    return write_text(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n", durable=durable)


def write_text(path: Path, text: str, *, durable: bool = False) -> Path:
    """Writes a file that only its user may read (0600), whole or not at all, and makes its folder; the path.

    A `durable` file is on the disk on return.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 by itself
    # the name of a source file may hold bytes that are not text: they become an escape, which JSON can read
    with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace") as out:
        out.write(text)
        if durable:
            out.flush()
            os.fsync(out.fileno())
    os.replace(name, path)
    if durable:
        _sync_folder(path.parent)
    return path


def _sync_folder(folder: Path) -> None:
    """Makes a rename in the folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
