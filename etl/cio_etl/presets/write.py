"""Writes the files of a preset into a user's folder, none over another one.

The files of a preset name each other as they stand in the repository, so that its author can check and run them there.
A user's copy is jobs/NAME.yaml, mappings/NAME/ and, of the samples, exports/NAME/: the paths are changed.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from cio_etl.config import MODELINE, SCHEMA_FILE, SchemaKind
from cio_etl.config.new_files import exists_already, write_new, write_schema
from cio_etl.config.yaml_edits import without_items
from cio_etl.config.yaml_parts import flow
from cio_etl.errors import ConfigError, Problem
from cio_etl.presets.catalog import SAMPLE, Preset

_MODELINE = re.compile(r"\A# yaml-language-server: .*\n")
_DECIDE = re.compile(r"#.*?\bTO DECIDE: (.+)")


@dataclass(frozen=True, slots=True)
class Written:
    """The files that were written, the job first; what is to be decided in them; and the steps that were left out.

    to_decide: places, as jobs/stripe.yaml:12, and questions.
    """

    files: tuple[Path, ...]
    to_decide: tuple[tuple[str, str], ...]
    left_out: tuple[str, ...]

    @property
    def job(self) -> Path:
        return self.files[0]


def write_preset(
    preset: Preset, folder: Path, exports: Mapping[str, Sequence[str]] | None = None, *, samples: bool = False
) -> Written:
    """Writes the job, mappings, tests and recipe of a preset; with `samples` its sample as well.

    exports: of each of the preset's files, by name, the paths that the job is to read, seen from here. The steps of
    other files are left out. Without it, the job reads exports/NAME/. Raises ConfigError when a file exists already;
    then none is written.
    """
    job_file, mappings = folder / "jobs" / f"{preset.name}.yaml", folder / "mappings" / preset.name
    job = (preset.folder / "job.yaml").read_text(encoding="utf-8")
    job, left_out = _with_exports(job, preset, exports, folder)
    texts = {job_file: _moved(job, preset)}
    for file in sorted(preset.folder.glob("*.yaml")) + sorted(preset.folder.glob("tests/*.yaml")):
        if file.name not in ("preset.yaml", "job.yaml"):
            texts[mappings / file.relative_to(preset.folder)] = _moved(file.read_text(encoding="utf-8"), preset)
    texts[mappings / "README.md"] = preset.recipe
    taken = dict(sample_files(preset, folder / "exports" / preset.name)) if samples else {}
    if existing := [path for path in (*texts, *taken.values()) if os.path.lexists(path)]:
        raise ConfigError(exists_already(path) for path in existing)
    written: list[Path] = []
    try:
        for path, text in texts.items():
            write_new(path, text)
            written.append(path)
        for sample, path in taken.items():
            _write_sample(sample, path)
            written.append(path)
        for path, kind in _schemas(job_file, mappings):
            write_schema(path, kind)
    except ConfigError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return Written(tuple(written), tuple(_to_decide(texts)), left_out)


def sample_files(preset: Preset, folder: Path) -> Iterator[tuple[Path, Path]]:
    """The sample's files, and where each is in a copy in the folder: a script of SQL is there as a database."""
    for file in sorted((preset.folder / SAMPLE).rglob("*")):
        if file.is_file():
            name = file.relative_to(preset.folder / SAMPLE)
            yield file, folder / (name.with_suffix(".sqlite") if name.suffix == ".sql" else name)


def export_files(preset: Preset) -> tuple[str, ...]:
    """The names or patterns of the files that the preset's job reads, in the folder of the export."""
    return tuple(dict.fromkeys(file.file for file in preset.files if file.file is not None))


def _write_sample(sample: Path, path: Path) -> None:
    text = sample.read_text(encoding="utf-8")
    if sample.suffix != ".sql":
        write_new(path, text)
        return
    write_new(path, "")
    with sqlite3.connect(path) as database:
        database.executescript(text)
    database.close()


def _schemas(job_file: Path, mappings: Path) -> Iterator[tuple[Path, SchemaKind]]:
    yield job_file.parent / SCHEMA_FILE, "job"
    yield mappings / SCHEMA_FILE, "mapping"
    yield mappings / "tests" / SCHEMA_FILE, "tests"


def _moved(text: str, preset: Preset) -> str:
    """The text of a file with the paths of a user's copy."""
    text = _MODELINE.sub(f"{MODELINE}\n", text)
    text = text.replace(f"{preset.home}/{SAMPLE}/", f"exports/{preset.name}/")
    return text.replace(f"{preset.home}/", f"mappings/{preset.name}/")


def _with_exports(
    job: str, preset: Preset, exports: Mapping[str, Sequence[str]] | None, folder: Path
) -> tuple[str, tuple[str, ...]]:
    """The job that reads these files, and the steps that are left out, since they read others."""
    if exports is None:
        return job, ()
    of_files = [file for file in preset.files if file.file is not None]
    if unknown := exports.keys() - {file.name for file in of_files}:
        what = f"the preset {preset.name} has no such file"
        raise ConfigError([Problem(sorted(unknown)[0], None, "", what)])
    left_out = [step for file in of_files if file.name not in exports for step in file.steps]
    names = [step["name"] for step in preset.steps]
    job = without_items(job, ("steps",), [names.index(step) for step in left_out])
    for file in of_files:
        if file.name in exports:
            paths = [_seen_from(folder, path) for path in _short(exports[file.name], str(file.file))]
            job = job.replace(f"{preset.home}/{SAMPLE}/{file.file}", flow(paths[0] if len(paths) == 1 else paths))
    return job, tuple(left_out)


def _short(paths: Sequence[str], pattern: str) -> list[str]:
    """The paths; one pattern instead, where it stands for just these files."""
    folder = Path(paths[0]).parent
    if len(paths) > 1 and {*folder.glob(pattern)} == {Path(path) for path in paths}:
        return [str(folder / pattern)]
    return [str(path) for path in paths]


def _seen_from(folder: Path, path: str) -> str:
    """The path from the folder in which the job will run; addresses of other machines stay."""
    return path if "://" in path or os.path.isabs(path) or folder == Path() else os.path.relpath(path, folder)


def _to_decide(texts: Mapping[Path, str]) -> Iterator[tuple[str, str]]:
    for path, text in texts.items():
        if fnmatch(path.name, "*.yaml"):
            for number, line in enumerate(text.splitlines(), 1):
                if found := _DECIDE.search(line):
                    yield f"{path}:{number}", found[1]
