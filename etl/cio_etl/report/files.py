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
    write_status(report, folder, resume_command)
    return _write(folder / "report.json", as_json(report, resume_command))


def write_status(report: Report, folder: Path, resume_command: str | None = None) -> None:
    """Writes status.json alone, when a run starts."""
    content = as_json(report, resume_command)
    _write(folder / "status.json", {key: content[key] for key in _STATUS})


def _write(path: Path, content: dict[str, Any]) -> Path:
    return write_text(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Writes a file that only its user may read (0600), whole or not at all, and makes its folder; the path."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 by itself
    # the name of a source file may hold bytes that are not text: they become an escape, which JSON can read
    with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace") as out:
        out.write(text)
    os.replace(name, path)
    return path
