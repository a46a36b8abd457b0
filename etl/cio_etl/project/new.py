"""Writes a new project: a job, its mappings and their tests, example data, and what checks and starts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cio_etl.config import SchemaKind
from cio_etl.config.new_files import write_files
from cio_etl.project.shipped import shipped

PROJECT_JOB = Path("jobs/shop.yaml")
DAGS = "airflow_dags/etl_jobs.py"
TEMPLATE = Path(__file__).parent / "template"


def write_project(folder: Path) -> list[Path]:
    """Writes the files of a project; their paths, without those of the schemas that editors read.

    Raises ConfigError with every file that exists already, and when one cannot be written; then none is there.
    """
    contents = {folder / name: file.read_bytes() for name, file in _files()}
    schemas: dict[Path, SchemaKind] = {
        folder / "jobs": "job",
        folder / "mappings": "mapping",
        folder / "mappings/tests": "tests",
    }
    write_files(contents, schemas, "name another FOLDER, or move the file away")
    return list(contents)


def _files() -> Iterator[tuple[str, Path]]:
    """The files of a project, by the names that they get."""
    for file in sorted(TEMPLATE.rglob("*")):
        if file.is_file():
            yield file.relative_to(TEMPLATE).as_posix().replace("dot_", "."), file
    yield DAGS, shipped(DAGS)
