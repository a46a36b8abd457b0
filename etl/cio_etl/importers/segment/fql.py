"""Segment's filter query language, as far as SQL over the columns of a row can say the same.

Looked up on 2026-11-27: https://www.twilio.com/docs/segment/api/public-api/fql. Comparisons of fields with constants,
and, or, not and parentheses are read; functions such as `contains` and `match` are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Tree = tuple[Any, ...]  # ("=", field, constant), ("and", [trees]), ("or", [trees]), ("not", tree)

_TOKEN = re.compile(
    r"""\s*(?:([()])|(!=|<=|>=|=|<|>|!)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(-?\d+(?:\.\d+)?)|([A-Za-z_][\w.]*))"""
)
_SQL = {"=": "=", "!=": "<>", "<": "<", ">": ">", "<=": "<=", ">=": ">="}


class Unreadable(Exception):
    """A trigger that uses more of the language than is read here."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger: the type of call and the name of the event, where it demands one, and all other conditions."""

    type: str | None
    event: str | None
    others: tuple[Tree, ...]

    def sql(self, column_of: Callable[[str], str | None]) -> str | None:
        """The other conditions as SQL; None if there are none. Raises Unreadable."""
        return " and ".join(_sql(tree, column_of) for tree in self.others) or None


def read_trigger(text: str) -> Trigger:
    """Reads a trigger, as `type = "track" and event = "Order Completed"`. Raises Unreadable."""
    parser = _Parser(_tokens(text))
    tree = parser.either()
    if parser.rest:
        raise Unreadable
    found: dict[str, str] = {}
    others = []
    for each in tree[1] if tree[0] == "and" else [tree]:
        if each[0] == "=" and each[1] in ("type", "event") and each[1] not in found and isinstance(each[2], str):
            found[each[1]] = each[2]
        else:
            others.append(each)
    return Trigger(found.get("type"), found.get("event"), tuple(others))


def _tokens(text: str) -> list[tuple[str, Any]]:
    tokens: list[tuple[str, Any]] = []
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise Unreadable
        sign, operator, quoted, number, word = found.groups()
        if quoted is not None:
            tokens.append(("constant", re.sub(r"\\(.)", r"\1", quoted[1:-1])))
        elif number is not None:
            tokens.append(("constant", float(number) if "." in number else int(number)))
        elif word in ("true", "false", "null"):
            tokens.append(("constant", {"true": True, "false": False, "null": None}[word]))
        else:
            kind = "word" if word is not None and word not in ("and", "or", "not") else "sign"
            tokens.append((kind, "not" if operator == "!" else word or operator or sign))
        at = found.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[tuple[str, Any]]) -> None:
        self.rest = tokens

    def takes(self, sign: str) -> bool:
        if self.rest[:1] == [("sign", sign)]:
            del self.rest[0]
            return True
        return False

    def either(self) -> Tree:
        trees = [self.both()]
        while self.takes("or"):
            trees.append(self.both())
        return trees[0] if len(trees) == 1 else ("or", trees)

    def both(self) -> Tree:
        trees = [self.one()]
        while self.takes("and"):
            trees.append(self.one())
        return trees[0] if len(trees) == 1 else ("and", trees)

    def one(self) -> Tree:
        if self.takes("not"):
            return ("not", self.one())
        if self.takes("("):
            tree = self.either()
            if not self.takes(")"):
                raise Unreadable
            return tree
        if len(self.rest) < 3:
            raise Unreadable
        (kind, field), (_, operator), (of, constant) = self.rest[:3]
        if kind != "word" or operator not in _SQL or of != "constant":
            raise Unreadable
        del self.rest[:3]
        return (operator, field, constant)


def _sql(tree: Tree, column_of: Callable[[str], str | None]) -> str:
    if tree[0] in ("and", "or"):
        return "(" + f" {tree[0]} ".join(_sql(each, column_of) for each in tree[1]) + ")"
    if tree[0] == "not":
        return f"not {_sql(tree[1], column_of)}"
    operator, field, constant = tree
    column = column_of(field)
    if column is None:
        raise Unreadable
    if constant is None:
        return f"{quoted(column)} is {'' if operator == '=' else 'not '}null"
    compared = f"{quoted(column)} {_SQL[operator]} {literal(constant)}"
    # there, a field that is missing differs from every constant; in SQL it neither differs nor is the same
    return f"({compared} or {quoted(column)} is null)" if operator == "!=" else compared


def quoted(column: str) -> str:
    """A column's name in SQL."""
    is_plain = re.fullmatch(r"[a-z][a-z0-9_]*", column) and column != "timestamp"
    return column if is_plain else '"' + column.replace('"', '""') + '"'


def literal(constant: object) -> str:
    """A constant in SQL."""
    if isinstance(constant, bool):
        return str(constant).lower()
    return "'" + constant.replace("'", "''") + "'" if isinstance(constant, str) else str(constant)
