"""Reads a small text file that a person wrote; what is wrong with it is worded by the caller."""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

Fault = Literal["missing", "not_a_file", "unreadable", "too_large", "not_utf8"]

SIMILAR = 0.75  # of the names of two files, without their endings, so that one is offered for the other


class UnreadableText(Exception):
    """Why a file is not read: the fault, the system's reason for `unreadable`, the line for `not_utf8`."""

    def __init__(self, fault: Fault, reason: str | None = None, line: int | None = None) -> None:
        self.fault, self.reason, self.line = fault, reason, line
        super().__init__(fault)


def read_text(path: Path, max_bytes: int) -> str:
    """The text of a file, without a byte order mark. Raises UnreadableText."""
    if not os.path.isfile(path):  # reading a pipe or a device could wait for ever
        raise UnreadableText("not_a_file" if os.path.exists(path) else "missing")
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise UnreadableText("unreadable", error.strerror) from None
    if len(content) > max_bytes:
        raise UnreadableText("too_large")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableText("not_utf8", line=content[: error.start].count(b"\n") + 1) from None


def did_you_mean_file(path: str) -> str:
    """`did you mean jobs/shop.yaml?`, or where relative paths start when no file has a similar name.

    The file is one of the same folder with a similar name, else one of that name in a folder of the working folder.
    """
    folder, name = os.path.split(path)
    with suppress(OSError, ValueError):
        files = [entry.name for entry in os.scandir(folder or ".") if entry.is_file()]
        names = {os.path.splitext(file)[0].lower(): file for file in files}
        for near in get_close_matches(os.path.splitext(name)[0].lower(), names, n=1, cutoff=SIMILAR):
            return f"did you mean {os.path.join(folder, names[near])}?"
    for near in sorted(glob.glob(f"*/{glob.escape(name)}")) if name else []:
        return f"did you mean {near}?"
    return "check the path" if os.path.isabs(path) else "relative paths start at the folder in which the command runs"
