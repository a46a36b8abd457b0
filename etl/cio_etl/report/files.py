"""The report as JSON: report.json, for programs, and status.json, what a monitor asks for."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cio_etl.model import Report, StepReport

_STATUS = ("run_id", "job", "status", "exit_code", "reason", "resumable", "resume_command", "started_at", "finished_at")


def as_json(report: Report) -> dict[str, Any]:
    """The report as JSON types, with what follows from its counts."""
    return {**asdict(replace(report, steps=())), "steps": [_step(step) for step in report.steps]}


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


def mending(report: Report, state: Path) -> dict[str, str]:
    """What is done about a run's rejected rows, as commands; nothing when there are none.

    Those of a replay are rejects of the run before, which stay open there.
    """
    if not report.rejected or report.job.endswith(".replay"):
        return {}
    where = [f"--state={state}"] if state != Path(".etl") else []
    rehearsed = ["--sandbox"] if report.job.endswith(".sandbox") else []
    replay = shlex.join(["cio-etl", "replay", "rejects.csv", *rehearsed, *where])
    return {
        "rejects": shlex.join(["cio-etl", "rejects", report.run_id, "-o", "rejects.csv", *where]),
        "replay": f"{replay}   (when they are mended there)",
    }


def write_report(report: Report, folder: Path) -> Path:
    """Writes report.json and status.json into `folder` (0600, each whole or not at all); the report's path."""
    write_status(report, folder)
    return _write(folder / "report.json", as_json(report))


def write_status(report: Report, folder: Path) -> None:
    """Writes status.json alone: what is known when a run begins."""
    content = as_json(report)
    _write(folder / "status.json", {key: content[key] for key in _STATUS})


def _write(path: Path, content: dict[str, Any]) -> Path:
    return write_text(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Writes a file that only its user may read (0600), whole or not at all, and its folder if need be; the path."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 by itself
    # a file's name may hold bytes that are no text: shown as an escape, which JSON reads as one, too
    with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace") as out:
        out.write(text)
    os.replace(name, path)
    return path
