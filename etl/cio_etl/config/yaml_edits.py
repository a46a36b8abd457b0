"""Changes a YAML file in place: all other text stays, with its comments and line breaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ruamel.yaml import YAML

from cio_etl.config.yaml_file import Loc

# The text of a key with its value, for the column at which the key stands; None: on one line, within {…}.
Written = Callable[[int | None], str]


def with_keys(text: str, changes: Mapping[Loc, Mapping[str, Written]], instead_of: Collection[str]) -> str:
    """The text of a file where the mapping at each place has these keys, and no other of the keys `instead_of`.

    The file must be one that `read_yaml` reads. New keys stand where the first of the old ones was, or at the end.
    """
    root = YAML(typ="safe", pure=True).compose(text)
    edits: list[tuple[int, int, str]] = []
    for loc, keys in changes.items():
        edits += _edits(text, _node_at(root, loc), keys, instead_of)
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def without_items(text: str, loc: Loc, places: Collection[int]) -> str:
    """The text of a file without these items of a list in lines, each with all up to the next one.

    The file must be one that `read_yaml` reads.
    """
    items = _node_at(YAML(typ="safe", pure=True).compose(text), loc).value
    lines = text.splitlines(keepends=True)
    starts = [item.start_mark.line for item in items]
    after = (number for number in range(starts[-1] + 1, len(lines)) if re.match(r"\S", lines[number]))
    ends = [*starts[1:], next(after, len(lines))]
    gone = {number for place in places for number in range(starts[place], ends[place])}
    return "".join(line for number, line in enumerate(lines) if number not in gone)


def _node_at(node: Any, loc: Loc) -> Any:
    for part in loc:
        if isinstance(part, int):
            node = node.value[part]
        else:
            node = next(value for key, value in node.value if key.value == part)
    return node


def _edits(
    text: str, node: Any, keys: Mapping[str, Written], instead_of: Collection[str]
) -> list[tuple[int, int, str]]:
    pairs = [(key.value, key.start_mark.index, _end(text, value)) for key, value in node.value]
    column = None if node.flow_style else node.value[0][0].start_mark.column
    joint = ", " if column is None else "\n" + " " * column
    new = joint.join(written(column) for written in keys.values())
    old = [place for place, (name, _, _) in enumerate(pairs) if name in instead_of]
    if not old:
        end = pairs[-1][2]
        return [(end, end, f"{joint}{new}")]
    first, *others = old
    edits = [(pairs[first][1], pairs[first][2], new)]
    return edits + [(pairs[place - 1][2], pairs[place][2], "") for place in others]


def _end(text: str, value: Any) -> int:
    """Where a value ends: a block ends in the parser's eyes where the next key begins, after comments."""
    lines = text[value.start_mark.index : value.end_mark.index].split("\n")
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    return int(value.start_mark.index) + len("\n".join(lines).rstrip())
