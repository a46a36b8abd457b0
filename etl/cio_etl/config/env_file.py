"""Reads a file of environment variables, as `.env`: a line `NAME=value` for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cio_etl.config.text_file import UnreadableText, read_text
from cio_etl.errors import ConfigError, Problem, did_you_mean_file

MAX_BYTES = 1_000_000

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.DOTALL)
_QUOTED = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?""")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a file. Raises ConfigError with every line that is wrong; it never shows a value.

    A value is written as it is, or in quotes: in double ones, `\\n` and the like are escapes. `#` begins a comment.
    """
    try:
        text = read_text(path, MAX_BYTES)
    except UnreadableText as error:
        what = {
            "missing": f"no such file; {did_you_mean_file(str(path))}",
            "not_a_file": "a folder, a pipe or a device; name a file",
            "unreadable": f"cannot be read: {error.reason}",
            "too_large": f"larger than {MAX_BYTES:,} bytes; a file of variables is a few lines",
            "not_utf8": "not UTF-8; save the file as UTF-8",
        }[error.fault]
        raise ConfigError([Problem(str(path), error.line, "", what)]) from None
    variables: dict[str, str] = {}
    problems = []
    for number, name, value, fault in _entries(text):
        if fault:
            problems.append(Problem(str(path), number, name, fault))
        elif name in variables:
            problems.append(Problem(str(path), number, name, "written twice; keep one"))
        else:
            variables[name] = value
    if problems:
        raise ConfigError(problems)
    return variables


def _entries(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Line number, name, value and fault of each line that is no comment."""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line)
        if parts is None:
            yield number, "", "", "not a variable; write NAME=value"
            continue
        name, written = parts[1], parts[2]
        if written[:1] in ("'", '"'):
            quoted = _QUOTED.fullmatch(written)
            if quoted is None:
                yield (
                    number,
                    name,
                    "",
                    "a quote that is not closed in this line; close it, or write \\n for a line break",
                )
                continue
            value = quoted[2] if quoted[1] is None else re.sub(r"\\(.)", _escaped, quoted[1])
            has_reference = quoted[1] is not None and "${" in quoted[1].replace("\\$", "")
        else:
            value = re.split(r"(?:^|\s)#", written, maxsplit=1)[0].strip()
            has_reference = "${" in value
        fault = ""
        if has_reference:
            fault = "references are not replaced in this file; write the value, or put it in single quotes"
        elif "\0" in value:
            fault = "a value contains the character NUL, which no variable can hold; remove it"
        yield number, name, value, fault


def _escaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[0])
