"""Reads the values of a mapping of Segment: constants, and directives, as columns with functions or as SQL."""

from __future__ import annotations

from cio_etl.errors import ConfigError, did_you_mean
from cio_etl.importers.definitions import Definition, Node
from cio_etl.importers.lost import Lost
from cio_etl.importers.segment.fql import literal, quoted
from cio_etl.importers.segment.rows import ALL, Rows
from cio_etl.importers.values import Value, is_constant, template_value

_DIRECTIVES = {
    *("@path", "@template", "@literal", "@if", "@arrayPath", "@case"),
    *("@replace", "@flatten", "@json", "@merge", "@transform", "@excludeWhenNull", "@liquid"),
}


class ValueReader:
    """Reads the values of one mapping, and accounts for what is lost."""

    def __init__(self, rows: Rows, lost: list[Lost]) -> None:
        self.rows, self.lost = rows, lost

    def peek(self, node: Node) -> Value | None:
        """The value of a field, without account of what is lost."""
        return ValueReader(self.rows, []).value(Node(Definition(node.definition.document), node.loc, node.value))

    def column(self, node: Node) -> Value | None:
        """The value of a field that differs from row to row; a constant is lost."""
        value = self.value(node)
        if value is None or not (value == ALL or is_constant(value)):
            return value
        why = "a constant, or all traits, where each row has its own"
        self.lost.append(Lost(node.place, node.key, why, "write its column"))
        return None

    def choices(self, node: Node) -> list[str]:
        """The columns of a field; the first that the table has is read."""
        value = self.value(node)
        if isinstance(value, str) and value != ALL:
            return [value]
        if isinstance(value, dict) and "columns" in value and "coalesce" in str(value["apply"]):
            return list(value["columns"])
        return []

    def value(self, node: Node) -> Value | None:
        """The value of a field; `*` for all traits; None if nothing is written, or if it is lost."""
        if node.value is None:
            return None
        if not isinstance(node.value, dict):
            return {"value": node.take()}
        directives = [key for key in node.value if key.startswith("@")]
        if not directives:
            self.lost.append(node.lost(node.key, "an object where one value is read", "write its members one by one"))
            return None
        if len(directives) > 1 or len(node.value) > 1:
            raise ConfigError([node.problem("a directive stands alone; it has other keys beside it")])
        name = directives[0]
        if name not in _DIRECTIVES:
            raise ConfigError([node.problem(f"{name} is no directive of Segment; {did_you_mean(name, _DIRECTIVES)}")])
        made = self.directive(name, node[name])
        if made is None:
            why = f"{name} of this form has no counterpart, or a field that the rows do not have"
            self.lost.append(node.lost(node.key, why, "write it with functions of `apply`, or in the query"))
        node.take()
        return made

    def directive(self, name: str, node: Node) -> Value | None:
        made = {
            "@path": self.path,
            "@template": self.template,
            "@literal": self.value,
            "@if": self.condition,
            "@arrayPath": self.array,
            "@case": self.case,
        }.get(name, _no_counterpart)(node)
        return made

    def path(self, node: Node) -> Value | None:
        return self.rows.column(node.value) if isinstance(node.value, str) else None

    def template(self, node: Node) -> Value | None:
        def column_of(path: str) -> str | None:
            column = self.rows.column(path)
            return None if column == ALL else column

        return template_value(node.value, column_of) if isinstance(node.value, str) else None

    def condition(self, node: Node) -> Value | None:
        """`@if`: the first of two columns that is there, or an SQL expression."""
        tested = node.first("exists", "blank")
        if tested.value is None or not node.value.keys() <= {"exists", "blank", "then", "else"}:
            return None
        column, then, other = (self.quiet(each) for each in (tested, node["then"], node["else"]))
        if not isinstance(column, str) or column == ALL or ALL in (then, other):
            return None
        if then == column and (isinstance(other, str) or other is None):
            columns = [*dict.fromkeys(each for each in (column, other) if each is not None)]
            if len(columns) == 1:
                return columns[0]
            skip = {"coalesce": {"skip_blank": True}} if tested.key == "blank" else "coalesce"
            return {"columns": columns, "apply": [skip]}
        if tested.key == "blank" or (then is None and node["then"].value is not None):
            return None
        if other is None and node["else"].value is not None:
            return None
        parts = [_in_sql(each) for each in (then, other)]
        if not all(parts):
            return None
        return {"expr": f"case when {quoted(column)} is not null then {parts[0]} else {parts[1]} end"}

    def quiet(self, node: Node) -> Value | None:
        return ValueReader(self.rows, []).value(node)

    def array(self, node: Node) -> Value | None:
        """`@arrayPath` without a shape: a list, which the warehouse has as JSON."""
        items = node.items()
        if len(items) != 1 and not (len(items) == 2 and items[1].value in (None, {})):
            return None
        path = items[0].value
        column = self.rows.column(path) if isinstance(path, str) else self.quiet(items[0])
        return {"column": column, "apply": ["json"]} if isinstance(column, str) and column != ALL else None

    def case(self, node: Node) -> Value | None:
        operator, value = node["operator"].value, self.quiet(node["value"])
        if operator not in ("lower", "upper") or value in (None, ALL) or len(node.value) > 2:
            return None
        if isinstance(value, str):
            return {"column": value, "apply": [operator]}
        return None if "value" in value else {**value, "apply": [*value.get("apply", []), operator]}


def _no_counterpart(node: Node) -> None:
    return None


def _in_sql(value: Value | None) -> str | None:
    """A column or a constant in SQL; None for anything else."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    constant = value.get("value")
    return literal(constant) if isinstance(constant, (str, int, float)) else None
