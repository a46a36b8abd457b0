"""Writes plain data as YAML that `yaml_file.py` reads as the same data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cio_etl.config.yaml_parts import flow, scalar

WIDTH = 110  # of a line, beyond which keys get lines of their own


def yaml_text(data: Any) -> str:
    """The data as YAML, with a line for each key of the top; smaller parts are in one line where they fit."""
    return "\n".join(_lines(data, "")) + "\n"


def _lines(data: Any, indent: str) -> Iterator[str]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _entry(f"{indent}{scalar(key)}:", value, indent)
    elif isinstance(data, list) and data:
        for item in data:
            first, *rest = _lines(item, "") if isinstance(item, dict) and not _fits(flow(item)) else [flow(item)]
            yield f"{indent}- {first}"
            yield from (f"{indent}  {line}" if line else "" for line in rest)
    else:
        yield indent + flow(data)


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, str) and (block := _block(value)):
        yield head + (" |" if value.endswith("\n") else " |-")
        yield from (f"{indent}  {line}" if line else "" for line in block)
        return
    whole = f"{head} {flow(value)}"
    is_whole = indent == "" and isinstance(value, dict) and len(value) > 1  # as attributes: an entry in each line
    if isinstance(value, dict | list) and value and (is_whole or not _fits(whole)):
        yield head
        yield from _lines(value, indent + "  ")
    else:
        yield whole


def _fits(line: str) -> bool:
    """Whether the parts need no lines of their own: it is short, and no text in it has several lines."""
    return len(line) <= WIDTH and r"\x0a" not in line


def _block(text: str) -> list[str]:
    """The lines of a text of several lines, as a query, that YAML can hold as they are; none of another text."""
    lines = text.removesuffix("\n").split("\n")
    is_plain = all(line.isprintable() and line == line.rstrip() for line in lines)
    return lines if len(lines) > 1 and is_plain and lines[0] == lines[0].lstrip() and lines[0] and lines[-1] else []
