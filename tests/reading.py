"""What tests of databases share: tables, sources, and the payloads that come of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cio_etl.extract import open_source
from cio_etl.extract.sql.dialects import DATABASES, Database, address
from cio_etl.extract.stage import Reader, staged
from cio_etl.model import FAULT, POSITION, Constant, Incremental, Snapshot, SqlSource, Staging, Step, Watermark
from cio_etl.validate.preview import preview
from tests.mapped_rows import attributes
from tests.mapped_rows import mapping as mapping_of


def asking(url: str, query: str | None = None, table: str | tuple[str, ...] = "", **settings: Any) -> SqlSource:
    """The source of a query, or of a table."""
    named = (table,) if isinstance(table, str) else table
    place = settings.pop("place", "the query")
    return SqlSource(SecretStr(url), query=query, table=named if query is None else None, place=place, **settings)


def opened(source: SqlSource, *columns: str, **staging: Any) -> Snapshot:
    """The source's snapshot; without columns, it has all of them."""
    return open_source(source, Staging(Path("stage"), columns or None, **staging))


def rows_of(snapshot: Snapshot, *columns: str) -> list[dict[str, Any]]:
    return [row for frame in snapshot.read(columns or None, 0) for row in frame.drop(POSITION, FAULT).to_dicts()]


def rows(source: SqlSource, *columns: str, **staging: Any) -> list[dict[str, Any]]:
    return rows_of(opened(source, *columns, **staging), *columns)


def value(url: str, expression: str) -> Any:
    """The value of an SQL expression in a snapshot."""
    (row,) = rows(asking(url, f"SELECT {expression} AS v"))
    return row["v"]


def sent(url: str, expression: str) -> Any:
    """The payload's attribute for an SQL expression; the whole outcome when there is no payload."""
    identify = mapping_of(identifiers={"id": Constant("1")}, attributes=attributes(v="v"))
    (outcome,) = preview(Step("s", asking(url, f"SELECT {expression} AS v"), identify), 5, "track")
    return outcome["payload"]["attributes"].get("v", "(none)") if "payload" in outcome else outcome


def reader(kind: Callable[..., Reader], source: SqlSource, database: Database, *columns: str) -> Reader:
    """A reader of the given class, whatever the table of databases says."""
    return kind(source, Staging(Path("stage"), columns or None), address(source), database)


def read(kind: Callable[..., Reader], source: SqlSource, database: Database, *columns: str) -> list[dict[str, Any]]:
    snapshot = staged(reader(kind, source, database, *columns), Staging(Path("stage"), columns or None), 25_000)
    return rows_of(snapshot, *columns)


def nights(source: SqlSource, *between: Callable[[], None]) -> list[list[Any]]:
    """The ids that successive incremental runs read: one before each change, and one after the last."""
    watermark: Watermark | None = None
    read: list[list[Any]] = []
    for number, change in enumerate((lambda: None, *between)):
        change()
        snapshot = open_source(source, Staging(Path(f"night{number}"), ("id",), watermark))
        read.append(sorted(row["id"] for row in rows_of(snapshot, "id")))
        watermark = None if snapshot.watermark is None else Watermark.of_text(snapshot.watermark.to_text())
    return read


def by_id(watermark: str, **settings: Any) -> Incremental:
    return Incremental(watermark, ("id",), **settings)


def closed(words: Sequence[str], message: str) -> None:
    """Fails when a message contains any of the words."""
    assert [word for word in words if word in message] == []


__all__ = ["DATABASES", "asking", "by_id", "closed", "nights", "opened", "read", "reader", "rows", "sent", "value"]
