"""Loads what a job file says of its runs and its state, also when its destination, sources or mappings are wrong.

So `status` and notices work while somebody changes a mapping. Neither loads polars for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from pathlib import Path
from typing import Any, cast, get_args

from cio_etl.config.folder_file import shared_channels
from cio_etl.config.job_references import resolve_job
from cio_etl.config.job_sections import OUTLINE, WATCHERS, OutlineYaml, WatchersYaml, settings_of, watchers_of
from cio_etl.config.notify_sections import channels_of
from cio_etl.config.plain_form import read_document
from cio_etl.config.short_values import PLAIN_NAME
from cio_etl.config.targets import target_names, with_target
from cio_etl.config.validation import validated
from cio_etl.errors import ConfigError, Problem
from cio_etl.model import JobOutline, StepOutline, Sync, SyncMode

_OF_STEPS = ("name", "mapping", "sync", "ledger")


def load_outline(path: Path, environ: MappingOf[str, str] = os.environ, *, target: str | None = None) -> JobOutline:
    """The outline of a job file; of several `destinations` with that of the name `target`.

    Secrets are not looked up. Raises ConfigError with everything that is wrong in the job when something is wrong in
    the settings, and InvalidArguments when it has no such destination.
    """
    outline, problems = _outline(path, environ, target)
    if outline is None:
        from cio_etl.config.job import load_job  # here: an outline needs no mapping

        load_job(path, environ, secrets=False, sources=False, target=target)
        raise ConfigError(problems)
    return outline


def load_outlines(path: Path) -> list[JobOutline]:
    """The outline of a job file for each of its destinations. Raises ConfigError."""
    return [load_outline(path, target=name) for name in target_names(path) or (None,)]


def _outline(path: Path, environ: MappingOf[str, str], target: str | None) -> tuple[JobOutline | None, list[Problem]]:
    """The outline, or None and what is wrong in the settings, as far as it is looked at here."""
    document = read_document(path)
    if document.data is None or "steps" not in document.data:  # another kind of file
        return None, list(document.problems)
    document = with_target(document, target)
    if document.data is None:
        return None, list(document.problems)
    written = {key: document.data[key] for key in OUTLINE if key in document.data}
    data, unresolved = resolve_job(
        written | {"steps": _written_steps(document.data["steps"])}, environ, secrets=False, sources=False
    )
    steps = tuple(_steps(data.pop("steps")))
    parsed, faults = validated(OutlineYaml, data)
    faults += [(loc, text) for loc, text in unresolved if loc[0] != "steps"]
    problems = [each for each in document.problems if re.split(r"[.\[]", each.path)[0] in ("", *OUTLINE)]
    problems += [document.problem(loc, text) for loc, text in faults]
    has_name = "name" in written or PLAIN_NAME.fullmatch(path.stem) is not None
    if parsed is None or problems or not has_name or any(loc[0] in OUTLINE for loc in document.refused if loc):
        return None, problems
    channels, problems = shared_channels(path, environ)
    if parsed.notify is not None:
        channels = channels_of(parsed.notify, written["notify"], environ)
    settings = settings_of(parsed, document.file, path, target)
    if problems:
        return None, problems
    return JobOutline(**settings, notify=channels, **_watchers(document.data, environ, target), steps=steps), []


def _watchers(written: dict[str, Any], environ: MappingOf[str, str], target: str | None) -> dict[str, Any]:
    """The monitor and the file of metrics; neither if something is wrong in one of them."""
    data = {key: written[key] for key in WATCHERS if key in written}
    data, unresolved = resolve_job(data, environ, secrets=True, sources=False)
    parsed, _ = validated(WatchersYaml, data)
    return {} if parsed is None or unresolved else watchers_of(parsed, target)


def _written_steps(steps: Any) -> list[dict[str, Any]]:
    """The keys of steps that say which ledgers they have; what is no step is left out."""
    found = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    return [{key: step[key] for key in _OF_STEPS if key in step} for step in found]


def _steps(steps: list[dict[str, Any]]) -> Iterator[StepOutline]:
    for step in steps:
        name, mode, ledger, files = (step.get(key) for key in ("name", "sync", "ledger", "mapping"))
        if not isinstance(name, str):
            continue
        sync = cast(SyncMode, mode if mode in get_args(SyncMode) else "all")
        ledger_name = ledger.get("name") if isinstance(ledger, dict) else None
        listed = [f"/{Path(file).stem}" for file in files if isinstance(file, str)] if isinstance(files, list) else [""]
        for inner in listed:
            yield StepOutline(f"{name}{inner}", Sync(sync, ledger_name=ledger_name and f"{ledger_name}{inner}"))
