"""Remedies that several rooms give: the name that was probably meant, the extra that is missing."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from contextlib import suppress

_FROM_HERE = "relative paths start at the folder in which the command runs"
_YAML = (".yaml", ".yml")


def similar(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is most like this one, in any case of the letters; None when none is similar."""
    from difflib import get_close_matches  # which only mistakes need

    folded = {each.casefold(): each for each in known}
    meant = name[:100].casefold()
    near = [meant] if meant in folded else get_close_matches(meant, folded, 1, cutoff)  # the same name is most like it
    return folded[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """`did you mean 'lower'?`; when no known name is similar, `otherwise`, or the list of all known names."""
    names = list(known)
    near = similar(name, names)
    if near is not None:
        return f"did you mean {near!r}?"
    return f"there are {', '.join(names)}" if otherwise is None else otherwise


def did_you_mean_file(path: str) -> str:
    """`did you mean jobs/shop.yaml?`, or where relative paths start when no file has a similar name.

    The file is one of the same folder with a similar name, else one of that name in a folder of the working folder.
    """
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    with suppress(OSError, ValueError):
        files = [entry.name for entry in os.scandir(folder or ".") if entry.is_file()]
        files = [file for file in files if not ending or (os.path.splitext(file)[1] in _YAML) == (ending in _YAML)]
        files.sort(key=lambda file: os.path.splitext(file)[1] == ending)  # of two with one stem, the last one counts
        stems = {os.path.splitext(file)[0]: file for file in files}
        near = similar(stem, stems, cutoff=0.75)
        if near is not None:
            return f"did you mean {os.path.join(folder, stems[near])}?"
    for near in sorted(glob.glob(f"*/{glob.escape(name)}")) if name else []:
        return f"did you mean {near}?"
    missing = f"there is no folder {folder}" if folder and not os.path.isdir(folder) else ""
    if os.path.isabs(path):
        return missing or "check the path"
    return f"{missing}; {_FROM_HERE}" if missing else _FROM_HERE


def install(extra: str) -> str:
    """How an extra of cio-etl is installed: cio-etl is on no package index."""
    return f"install the extra {extra}: `pip install '.[{extra}]'` in a clone, or `pip install 'WHEEL[{extra}]'`"
