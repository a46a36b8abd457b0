"""Writes the files of a preset into a user's folder, none over another one.

The files of a preset name each other as they stand in the repository, so that its author can check and run them there.
A user's copy is jobs/NAME.yaml, mappings/NAME/ and, of the samples, exports/NAME/: the paths are changed.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cio_etl.config import MODELINE, SchemaKind
from cio_etl.config.new_files import write_files
from cio_etl.config.yaml_edits import without_items
from cio_etl.config.yaml_writer import flow
from cio_etl.errors import ConfigError, Problem
from cio_etl.presets.catalog import SAMPLE, ExportFile, Preset

Exports = Mapping[str, Sequence[Mapping[str, Any]]]  # `source:` sections by the preset's name of the file

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


def write_preset(preset: Preset, folder: Path, exports: Exports | None = None, *, samples: bool = False) -> Written:
    """Writes the job, mappings, tests and recipe of a preset; with `samples` its sample as well.

    exports: of each of the preset's files, by name, the `source:` sections of the files that the job is to read, with
    paths seen from here; only these differ. The steps of other files are left out, with their mappings. Without it, the
    job reads exports/NAME/. Raises ConfigError when a file exists already, or when the files of a step are written in
    several ways; then none is written.
    """
    job_file, mappings = folder / "jobs" / f"{preset.name}.yaml", folder / "mappings" / preset.name
    job = (preset.folder / "job.yaml").read_text(encoding="utf-8")
    job, left_out = _with_exports(job, preset, exports, folder)
    texts = {job_file: _moved(job, preset)}
    kept = {name for file in preset.files if {*file.steps} - {*left_out} for name in file.mappings}
    unused = {name.partition(".")[0] for file in preset.files for name in file.mappings if name not in kept}
    for file in sorted(preset.folder.glob("*.yaml")) + sorted(preset.folder.glob("tests/*.yaml")):
        if file.name not in ("preset.yaml", "job.yaml") and file.name.partition(".")[0] not in unused:
            texts[mappings / file.relative_to(preset.folder)] = _moved(file.read_text(encoding="utf-8"), preset)
    texts[mappings / "README.md"] = preset.recipe
    taken = dict(_sample_files(preset, folder / "exports" / preset.name)) if samples else {}
    contents: dict[Path, str | bytes] = {**texts, **{path: _sample(sample) for sample, path in taken.items()}}
    schemas: dict[Path, SchemaKind] = {job_file.parent: "job", mappings: "mapping", mappings / "tests": "tests"}
    write_files(contents, schemas, "give another folder with --into, or move the file away")
    return Written(tuple(contents), tuple(_to_decide(texts)), left_out)


def _sample_files(preset: Preset, folder: Path) -> Iterator[tuple[Path, Path]]:
    """The sample's files, and where each is in a copy in the folder: a script of SQL is there as a database."""
    for file in sorted((preset.folder / SAMPLE).rglob("*")):
        if file.is_file():
            name = file.relative_to(preset.folder / SAMPLE)
            yield file, folder / (name.with_suffix(".sqlite") if name.suffix == ".sql" else name)


def _sample(file: Path) -> bytes:
    """A file of the sample; the database that a script makes."""
    if file.suffix != ".sql":
        return file.read_bytes()
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(file.read_text(encoding="utf-8"))
        return database.serialize()


def _moved(text: str, preset: Preset) -> str:
    """The text of a file with the paths of a user's copy."""
    text = _MODELINE.sub(f"{MODELINE}\n", text)
    text = text.replace(f"{preset.home}/{SAMPLE}/", f"exports/{preset.name}/")
    return text.replace(f"{preset.home}/", f"mappings/{preset.name}/")


def _with_exports(job: str, preset: Preset, exports: Exports | None, folder: Path) -> tuple[str, tuple[str, ...]]:
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
            read, settings = _of_step(file, exports[file.name])
            paths = [_seen_from(folder, path) for path in _short(read, str(file.file))]
            words = [
                flow(paths[0] if len(paths) == 1 else paths),
                *(f"{key}: {flow(settings[key])}" for key in settings),
            ]
            job = job.replace(f"{preset.home}/{SAMPLE}/{file.file}", ", ".join(words))
    return job, tuple(left_out)


def _of_step(file: ExportFile, sections: Sequence[Mapping[str, Any]]) -> tuple[list[str], dict[str, Any]]:
    """The paths of a step's files, and the other keys of its source, as `separator`, which all of them have."""
    first, *others = ({key: value for key, value in section.items() if key != file.kind} for section in sections)
    paths = [str(section[file.kind]) for section in sections]
    for path, other in zip(paths[1:], others, strict=True):
        if other != first:
            found, wanted = (
                ", ".join(f"{key}: {flow(keys[key])}" for key in keys) or "as usual" for keys in (other, first)
            )
            what = (
                f"it is written otherwise ({found}) than {paths[0]} ({wanted}); one step reads both: write them alike"
            )
            raise ConfigError([Problem(path, None, "", what)])
    return paths, first


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
        if path.suffix == ".yaml":
            for number, line in enumerate(text.splitlines(), 1):
                if found := _DECIDE.search(line):
                    yield f"{path}:{number}", found[1]
