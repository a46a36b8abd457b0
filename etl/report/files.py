"""The report as JSON: report.json, for programs, and status.json, what a monitor asks for."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from etl.model import Report

_STATUS = ("run_id", "job", "status", "exit_code", "reason", "resumable", "resume_command", "started_at", "finished_at")


def as_json(report: Report) -> dict[str, Any]:
    """The report as JSON types, with what follows from its counts."""
    content = asdict(report)
    for step, shown in zip(report.steps, content["steps"], strict=True):
        rejects, findings = shown.pop("rejects"), shown.pop("findings")
        shown |= {"rows_per_second": round(step.rows_per_second, 1), "rejects": rejects, "findings": findings}
    return content


def write_report(report: Report, folder: Path) -> Path:
    """Writes report.json and status.json into `folder` (0600, each whole or not at all); the report's path."""
    content = as_json(report)
    _write(folder / "status.json", {key: content[key] for key in _STATUS})
    return _write(folder / "report.json", content)


def _write(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 by itself
    with os.fdopen(file, "w", encoding="utf-8") as out:
        json.dump(content, out, ensure_ascii=False, indent=2)
        out.write("\n")
    os.replace(name, path)
    return path
