"""Copies a source whose rows may change into Parquet files of this machine, which become the snapshot.

A reader (of a query, of a table of a lake) gives frames; a thread reads them while this one writes. If the process dies
before the copy is complete, the next one copies again.
"""

from __future__ import annotations

import hashlib
import json
import queue
import secrets
import threading
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import polars as pl
import polars.selectors as cs

from cio_etl.errors import SourceError
from cio_etl.extract import copies
from cio_etl.extract.copyable import copyable
from cio_etl.extract.frames import chosen_columns
from cio_etl.extract.incremental import NewRows
from cio_etl.extract.parquet import open_parquet
from cio_etl.extract.text_columns import DECIMAL_TEXT, DIGITS, JSON_TEXT, Decimals, as_json_texts
from cio_etl.log import Thread, get_logger
from cio_etl.model import Incremental, ParquetSource, Snapshot, Staging, Watermark

log = get_logger()

PART_ROWS, PART_BYTES = 50_000, 32 << 20  # per file of the copy: as much is collected before it is written
GROUP_ROWS = 25_000
_EXACT = 1 << 53  # beyond it, a float skips whole numbers
_AHEAD = 3  # frames that may wait to be written


class Reader(Protocol):
    """Reads a source once, from its beginning to its end."""

    @property
    def place(self) -> str:
        """The name of the source in messages."""

    @property
    def settings(self) -> object:
        """Everything that decides which rows come, as JSON can hold it; without secrets."""

    def frames(self) -> Iterator[pl.DataFrame]:
        """At least one frame, which may be empty; all have the same columns. Raises EtlError."""

    def cancel(self) -> None:
        """Ends `frames` early; called from another thread."""


def staged(reader: Reader, staging: Staging, chunk_rows: int, incremental: Incremental | None = None) -> Snapshot:
    """The snapshot of the copy in the staging's folder, which is made now unless it is there and complete.

    Raises SourceError, also when there is no copy and none may be made; StateError when there is no room for one.
    """
    folder = copy_folder(reader, staging, incremental)
    if copies.manifest_of(folder) is None:
        if not staging.may_read:
            raise copies.copy_missing(reader.place)
        _copy(reader, staging, folder, incremental)
    return open_staged(folder, chunk_rows)


def copy_folder(reader: Reader, staging: Staging, incremental: Incremental | None = None) -> Path:
    """The folder of the copy: steps that read the same share it, and a changed query has another one."""
    watermark = None if staging.watermark is None else staging.watermark.to_text()
    settings = [reader.settings, staging.columns, watermark, staging.since, staging.rows, repr(incremental)]
    return staging.folder / hashlib.sha256(json.dumps(settings, default=str).encode()).hexdigest()[:16]


def _copy(reader: Reader, staging: Staging, folder: Path, incremental: Incremental | None) -> None:
    copies.begin(folder)
    new = None if incremental is None else NewRows(reader.place, incremental, staging)
    parts = _Parts(folder, reader.place, _wanted(staging, incremental))
    with closing(_read_ahead(reader)) as frames:
        for frame in _limited(frames if new is None else map(new.of, frames), staging.rows):
            parts.add(frame)
            staging.report_rows(parts.rows)
    parts.end()
    watermark = None if new is None else new.next_watermark(parts.read(new.columns))
    manifest = {
        "place": reader.place,
        "rows": parts.rows,
        "files": [path.name for path in parts.paths],
        "scales": {name: needs.after for name, needs in parts.decimals.items() if needs.fits},
        "mark": None if watermark is None else watermark.to_text(),
        "loose": bool(getattr(reader, "loose", False)),
    }
    copies.end(folder, manifest)
    if new is not None:
        log.info("new_rows_copied", source=reader.place, rows=parts.rows, sent_before=new.dropped_rows)


def _wanted(staging: Staging, incremental: Incremental | None) -> frozenset[str] | None:
    """The columns that the mapping uses; None: all."""
    if staging.columns is None:
        return None
    return frozenset(staging.columns if incremental is None else (*staging.columns, incremental.watermark))


def _limited(frames: Iterable[pl.DataFrame], rows: int | None) -> Iterator[pl.DataFrame]:
    """The first `rows` rows."""
    remaining = rows
    for frame in frames:
        yield frame if remaining is None else frame.head(remaining)
        if remaining is not None:
            remaining -= min(remaining, frame.height)
            if not remaining:
                return


def _read_ahead(reader: Reader) -> Generator[pl.DataFrame]:
    """The reader's frames, read in a thread: the calling thread can be interrupted, and writes meanwhile.

    Closing the generator ends the reading.
    """
    frames: queue.Queue[pl.DataFrame | BaseException | None] = queue.Queue(_AHEAD)
    stopped = threading.Event()

    def put(item: pl.DataFrame | BaseException | None) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                frames.put(item, timeout=0.2)
                return

    def read() -> None:
        try:
            for frame in reader.frames():
                put(frame)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:  # any error is raised where the frames are used
            put(error)

    thread = Thread(target=read, name="reader", daemon=True)  # a driver that hangs must not block the exit
    thread.start()
    try:
        while (item := frames.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
        thread.join()
    finally:
        if thread.is_alive():
            stopped.set()
            with suppress(Exception):  # the error that was raised before counts
                reader.cancel()
            thread.join(5.0)


class _Parts:
    """The copy's files, written as frames come."""

    def __init__(self, folder: Path, place: str, wanted: frozenset[str] | None) -> None:
        self.rows = 0
        self.paths: list[Path] = []
        self.decimals: dict[str, Decimals] = {}  # of columns that came as text
        self._folder, self._place, self._wanted = folder, place, wanted
        self._token = secrets.token_hex(4)  # so a manifest never names the files of another process
        self._waiting: list[pl.DataFrame] = []
        self._schema: pl.Schema | None = None
        self._long: set[str] = set()  # columns of whole numbers that are not exact as floats

    def add(self, frame: pl.DataFrame) -> None:
        """Takes a frame, and writes a file when there are enough rows."""
        frame = copyable(self._place, frame, self._wanted)
        for name, dtype in frame.schema.items():
            if dtype == pl.Int64 and name not in self._long and not frame[name].is_between(-_EXACT, _EXACT).all():
                self._long.add(name)
        self._schema = frame.schema if self._schema is None else _common(self._schema, frame.schema, self._long)
        self._measure(frame)
        self.rows += frame.height
        if frame.height:
            self._waiting.append(frame)
        rows = sum(each.height for each in self._waiting)
        if rows >= PART_ROWS or sum(each.estimated_size() for each in self._waiting) >= PART_BYTES:
            self._write()

    def end(self) -> None:
        """Writes the last rows. Files whose columns got wider types later are written again."""
        if self._waiting or not self.paths:
            self._write()
        assert self._schema is not None
        for path in self.paths:
            if pl.scan_parquet(path, glob=False).collect_schema() != self._schema:
                frame = self._in_common_types(pl.read_parquet(path, glob=False))
                path.unlink()
                self._create(path, frame)

    def _write(self) -> None:
        frames = [self._in_common_types(frame) for frame in self._waiting]
        frame = pl.concat(frames) if frames else pl.DataFrame(schema=self._schema)
        self._waiting = []
        path = self._folder / f"part-{self._token}-{len(self.paths):05}.parquet"
        self._create(path, frame)
        self.paths.append(path)

    def _in_common_types(self, frame: pl.DataFrame) -> pl.DataFrame:
        schema = self._schema or pl.Schema()
        if frame.schema == schema:
            return frame
        try:  # by_name, since `cast` would take names such as `*` and `^…$` for patterns
            return frame.select(
                as_json_texts(frame[name]) if dtype == JSON_TEXT else cs.by_name(name).cast(dtype)
                for name, dtype in schema.items()
            )
        except pl.exceptions.PolarsError:
            raise SourceError(
                "cast the column to one type in the query", place=self._place, what="a column holds values of two types"
            ) from None

    def _create(self, path: Path, frame: pl.DataFrame) -> None:
        with copies.on_disk(self._folder), copies.created(path) as file:
            frame.write_parquet(
                file, compression="zstd", compression_level=1, row_group_size=GROUP_ROWS, statistics=False
            )

    def read(self, columns: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """The written rows, one file at a time."""
        for path in self.paths:
            lines = pl.scan_parquet(path, glob=False)
            yield (lines if columns is None else lines.select(map(cs.by_name, columns))).collect()

    def _measure(self, frame: pl.DataFrame) -> None:
        """Measures decimals that come as text. A column that does not fit stays text if the mapping does not use it."""
        for name in (name for name, dtype in frame.schema.items() if dtype == DECIMAL_TEXT):
            needs = self.decimals.setdefault(name, Decimals(self._place, name))
            needs.add(frame[name])
            if self._wanted is None or name in self._wanted:
                needs.check()


def _common(before: pl.Schema, now: pl.Schema, long: Collection[str]) -> pl.Schema:
    """The types that can hold the rows of both; sources with loose types widen them as rows come.

    `long`: columns of whole numbers that would lose digits as floats.
    """
    if before == now or before.keys() != now.keys():
        return before  # frames that do not fit are refused when they are written
    return pl.Schema({name: _common_type(dtype, now[name], name in long) for name, dtype in before.items()})


def _common_type(one: pl.DataType, other: pl.DataType, long: bool) -> pl.DataType:
    """The type of two, or JSON_TEXT where a value of one would become another kind, or lose digits, as the other."""
    if one == other or other == pl.Null():
        return one
    if one == pl.Null():
        return other
    kinds = {_kind(one), _kind(other)}
    if len(kinds) > 1 and kinds != {"number", "boolean"}:  # MySQL's tinyint(1) is one until it holds a 2
        return JSON_TEXT
    if long and (one.is_float() or other.is_float()):
        return JSON_TEXT
    try:
        return pl.concat(
            [pl.Series([], dtype=each).to_frame() for each in (one, other)], how="vertical_relaxed"
        ).dtypes[0]
    except pl.exceptions.PolarsError:
        return one


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "number"
    if dtype.is_temporal():
        return "time"
    return {pl.Boolean: "boolean", pl.String: "text"}.get(dtype.base_type(), str(dtype))


def open_staged(folder: Path, chunk_rows: int = 25_000) -> Snapshot:
    """The snapshot of an existing copy. Raises SourceError when it is not complete."""
    manifest = copies.manifest_of(folder)
    if manifest is None:
        raise SourceError(place=str(folder), what="the staged rows are gone")
    paths = tuple(str(folder / name) for name in manifest["files"])
    place, scales = manifest["place"], manifest["scales"]
    with copies.blaming(place):
        parts = open_parquet(ParquetSource(paths), chunk_rows, is_copy=True)
    if parts.rows != manifest["rows"]:
        raise SourceError("start again with --restart", place=str(folder), what="the staged rows are not all there")
    watermark = None if manifest["mark"] is None else Watermark.of_text(manifest["mark"])
    json_texts = frozenset(name for name, dtype in parts.schema.items() if dtype == JSON_TEXT)
    typed = {name: _value(name, dtype, scales) for name, dtype in parts.schema.items()}
    schema = pl.Schema((name, _value_type(name, dtype, scales)) for name, dtype in parts.schema.items())

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        chosen = chosen_columns(place, schema, columns)
        with copies.blaming(place):
            for frame in parts.read(chosen, start):
                yield frame.with_columns(typed[name] for name in frame.columns if typed.get(name) is not None)

    def locate(positions: Sequence[int]) -> list[tuple[str, int]]:
        return [(place, position + 1) for position in positions]

    return replace(
        parts,
        schema=schema,
        read=read,
        locate=locate,
        json=json_texts,
        copy=folder,
        watermark=watermark,
        loose=manifest["loose"],
        in_files=False,
    )


def _value_type(name: str, dtype: pl.DataType, scales: dict[str, int]) -> pl.DataType:
    """The type of the column's values. Decimals of unused columns that do not fit a decimal are text."""
    if dtype == DECIMAL_TEXT and name in scales:
        return pl.Decimal(DIGITS, scales[name])
    return pl.String() if dtype in (JSON_TEXT, DECIMAL_TEXT) else dtype


def _value(name: str, dtype: pl.DataType, scales: dict[str, int]) -> pl.Expr | None:
    """The expression that gives the column's values; None: the column itself."""
    if dtype == JSON_TEXT:
        return cs.by_name(name).as_expr().struct.field("json_text").alias(name)
    if dtype == DECIMAL_TEXT:
        text = cs.by_name(name).as_expr().struct.field("decimal_text")
        return text.cast(_value_type(name, dtype, scales)).alias(name)
    return None
