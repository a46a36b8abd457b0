"""Writes plain data as YAML that `yaml_file.py` reads as the same data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from cio_etl.config.yaml_file import plain_value

WIDTH = 110  # of a line, beyond which keys get lines of their own

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")  # a text that no reader of YAML takes for anything else
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])  # but these, which YAML 1.1 does


def yaml_text(data: Any) -> str:
    """The data as YAML, with a line for each key of the top; smaller parts are in one line where they fit."""
    return "\n".join(_lines(data, "", top=True)) + "\n"


def _lines(data: Any, indent: str, *, top: bool = False) -> Iterator[str]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _entry(f"{indent}{_scalar(key)}:", value, indent)
    elif isinstance(data, list) and data:
        for item in data:
            first, *rest = _lines(item, "") if isinstance(item, dict) and len(_flow(item)) > WIDTH else [_flow(item)]
            yield f"{indent}- {first}"
            yield from (f"{indent}  {line}" for line in rest)
    else:
        yield indent + _flow(data)


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    flow = f"{head} {_flow(value)}"
    is_whole = indent == "" and isinstance(value, dict) and len(value) > 1  # as attributes: an entry in each line
    if isinstance(value, dict | list) and value and (is_whole or len(flow) > WIDTH):
        yield head
        yield from _lines(value, indent + "  ")
    else:
        yield flow


def _flow(data: Any) -> str:
    if isinstance(data, dict):
        return f"{{{', '.join(f'{_scalar(key)}: {_flow(value)}' for key, value in data.items())}}}"
    if isinstance(data, list):
        return f"[{', '.join(map(_flow, data))}]"
    return _scalar(data)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return {float("inf"): ".inf", float("-inf"): "-.inf"}.get(value, json.dumps(value).replace("NaN", ".nan"))
    is_bare = _BARE.fullmatch(value) and value.lower() not in _WORDS and plain_value(value) == value
    return value if is_bare else json.dumps(value, ensure_ascii=False)
