"""Quotes names by a database's rules, and maps the columns of its results to the names of the mapping.

Every name is quoted, so that it cannot be read as SQL. The rules are data here, not in SQLAlchemy's dialects:
BigQuery's does not escape the quote that ends a name, and most databases are read without SQLAlchemy's dialect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cio_etl.model.records import dataclass

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*", re.ASCII)
_PLAIN_CAPITALS = re.compile(r"[A-Z_][A-Z0-9_$]*", re.ASCII)
_BACKSLASHED = str.maketrans({"\\": "\\\\", "`": "\\`", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Names:
    """How a database's SQL quotes names."""

    begin: str = '"'
    end: str = '"'  # doubled inside
    backslash: bool = False  # inside, signs are written with a backslash instead, as in a text of the language C
    capitals: bool = False  # a name without quotes means the same in capitals, so most names there are in capitals

    def quoted(self, name: str) -> str:
        """The name in its quotes. Where names without quotes mean capitals, a plain one in small letters does, too."""
        if self.capitals and _PLAIN.fullmatch(name):
            name = name.upper()
        inside = name.translate(_BACKSLASHED) if self.backslash else name.replace(self.end, self.end * 2)
        return f"{self.begin}{inside}{self.end}"

    def alias(self, name: str) -> str:
        """The name in its quotes, exactly as it is."""
        return Names(self.begin, self.end, self.backslash).quoted(name)

    def as_written(self, names: Sequence[str], wanted: Sequence[str]) -> list[str]:
        """The names of a result's columns as the mapping writes them.

        Where names are in capitals, those that `wanted` does not have so are in small letters: SQLAlchemy's convention.
        """
        if not self.capitals:
            return list(names)
        return [name.lower() if _PLAIN_CAPITALS.fullmatch(name) and name not in wanted else name for name in names]


ANSI = Names()
BACKTICKS = Names("`", "`")
BRACKETS = Names("[", "]")
BACKTICKS_BACKSLASH = Names("`", "`", backslash=True)  # BigQuery
ANSI_CAPITALS = Names(capitals=True)  # Snowflake
