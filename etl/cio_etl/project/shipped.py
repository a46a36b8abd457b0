"""Finds the files that the package ships, and that the repository has elsewhere.

A file such as jobs/demo.yaml stands once, where a reader of the repository looks for it. The wheel has a copy in
`cio_etl/project/shipped/`: see `force-include` in pyproject.toml.
"""

from __future__ import annotations

from pathlib import Path

from cio_etl.errors import ConfigError, Problem


def shipped(name: str) -> Path:
    """The file of this name, as `jobs/demo.yaml`. Raises ConfigError when the installation lacks it."""
    here = Path(__file__)
    places = (here.parent / "shipped" / name, here.parents[3] / name)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        what = "is missing in this installation; install the wheel again"
        raise ConfigError([Problem(name, None, "", what)])
    return found
