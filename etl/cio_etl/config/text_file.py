"""Reads a small text file that a person wrote; what is wrong with it is worded by the caller."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

Fault = Literal["missing", "not_a_file", "unreadable", "too_large", "not_utf8"]


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
