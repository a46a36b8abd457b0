"""What is in a wheel and in an sdist, and what should be: the program, what it ships, and nothing of a machine."""

from __future__ import annotations

import re
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "etl/cio_etl"
# Of an editor, a test, a run or a person, wherever it lies. Folders of tests are part of presets and of new projects.
FOREIGN = re.compile(
    r"(^|/)(__pycache__|\.etl|\.git|\.env|\.venv[\w-]*|\.DS_Store|\.\w+_cache)(/|$)|\.(pyc|sw[op]|db)$|~$"
)


def project() -> dict[str, str]:
    """The section `project` of pyproject.toml."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {key: value for key, value in content["project"].items() if isinstance(value, str)}


def names(archive: Path) -> set[str]:
    """The files of a wheel or an sdist; those of an sdist without the folder that contains them all."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name for name in wheel.namelist() if not name.endswith("/")}
    with tarfile.open(archive) as sdist:
        return {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}


def faults(archive: Path) -> Iterator[str]:
    """What is wrong with the contents of a wheel or an sdist: a line each."""
    found = names(archive)
    yield from (f"{name} is of a machine, not of the program" for name in sorted(found) if FOREIGN.search(name))
    expected = set(of_wheel() if archive.suffix == ".whl" else of_sdist())
    yield from (f"{name} is missing" for name in sorted(expected - found))
    more = {name for name in found - expected if not re.match(r"cio_etl-[^/]+\.dist-info/|PKG-INFO$", name)}
    yield from (f"{name} does not belong there" for name in sorted(more) if not FOREIGN.search(name))


def of_wheel() -> Iterator[str]:
    """The package, and the files that the repository keeps elsewhere."""
    yield from (f"cio_etl/{path.relative_to(PACKAGE)}" for path in _files(PACKAGE))
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for source, target in content["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"].items():
        yield from (str(Path(target) / path.relative_to(ROOT / source)) for path in _files(ROOT / source))


def of_sdist() -> Iterator[str]:
    """What the wheel is made of, and the pages that README.md leads to."""
    folders = ("etl/cio_etl", "mappings", "jobs", "airflow_dags")
    yield from (str(path.relative_to(ROOT)) for folder in folders for path in _files(ROOT / folder))
    yield from (".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml")


def _files(place: Path) -> Iterator[Path]:
    """The file, or the files of a folder at any depth, without what Python or a run has left there."""
    paths = [place] if place.is_file() else sorted(place.rglob("*"))
    yield from (path for path in paths if path.is_file() and not FOREIGN.search(str(path.relative_to(ROOT))))
