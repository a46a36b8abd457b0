"""Rows of lists: each entry of a list is a row, beside the other columns of its row, in order of the list.

`explode` of a mapping names the list: a column or a path, of lists and maps, or of JSON text. The column of that name
then holds the entry, and ENTRY its place. A row whose list is empty or null remains one row, without a place; `when`
skips it. How many entries each row has is counted when the snapshot is made, so that rows are read from any position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.model import ENTRY, FAULT, POSITION, Snapshot
from cio_etl.model import Mapping as Rules
from cio_etl.model.reasons import ENTRY_NULL, JSON_UNREADABLE, NOT_A_LIST
from cio_etl.model.records import dataclass
from cio_etl.transform.arrays import np
from cio_etl.transform.chains import column_of, require_names
from cio_etl.transform.json_strings import entries_of_lists
from cio_etl.transform.nested import in_words, listed
from cio_etl.transform.paths import is_no_json, with_parts

if TYPE_CHECKING:
    import numpy.typing as npt


FRAME_ROWS = 25_000


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the entries of each row of the source are among the rows of entries; 10 bytes a row of the source."""

    bounds: npt.NDArray[np.int64]  # the first position of each row, and that after the last one
    has_entries: npt.NDArray[np.bool_]  # by row
    has_fault: npt.NDArray[np.bool_]
    faults: pl.DataFrame  # POSITION, reason: entries that are null, and rows whose list cannot be read; by position

    @property
    def rows(self) -> int:
        return int(self.bounds[-1])

    def rows_at(self, positions: Sequence[int]) -> npt.NDArray[np.int64]:
        """The row of each position."""
        return np.searchsorted(self.bounds[1:], np.asarray(positions, np.int64), side="right")


def exploded(snapshot: Snapshot, mapping: Rules) -> Snapshot:
    """The snapshot with a row for each entry of the list that the mapping explodes; itself where it explodes none.

    Rows that are sent again are entries already. All rows of the list are read once. Raises SourceError when there is
    no such column, or no list in it.
    """
    name = mapping.explode
    if name is None or snapshot.replayed is not None:
        return snapshot
    place = mapping.places.get("explode", mapping.file)
    fingerprint = exploded_fingerprint(snapshot.fingerprint, mapping)
    snapshot = with_parts(snapshot, [name], mapping)
    require_names([name], snapshot.schema, place, "fix the mapping, or the source")
    if ENTRY in snapshot.schema:
        what = f"the source has a column {ENTRY!r}, which is the place of an entry where lists are exploded"
        raise SourceError("rename the column", place=place, what=what)
    dtype = snapshot.schema[name]
    is_json = isinstance(dtype, pl.String | pl.Null)
    lists = None if is_json else listed(column_of(name), dtype)
    if not is_json and lists is None:
        what = f"explode: column {name!r} holds {in_words(dtype)}, and no lists"
        raise SourceError("name a column of lists", place=place, what=what)
    read = _Lists(snapshot, name)
    places = read.places()

    def frames(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        if start < places.rows:
            yield from read.frames(columns, start, places)

    def entries(positions: Sequence[int]) -> list[str]:
        rows = places.rows_at(positions)
        found = zip(positions, places.bounds[rows], places.has_entries[rows], strict=True)
        return [f"{name}[{position - start}]" if has_any else "" for position, start, has_any in found]

    of_entry = pl.String() if lists is None else lists[1]
    return replace(
        snapshot,
        fingerprint=fingerprint,
        rows=places.rows,
        schema=pl.Schema({**snapshot.schema, name: of_entry, ENTRY: pl.Int64()}),
        read=frames,
        locate=lambda positions: snapshot.locate(places.rows_at(positions).tolist()),
        json=snapshot.json | {name} if is_json else snapshot.json,
        paths=snapshot.paths | {ENTRY},
        entries=entries,
    )


def exploded_fingerprint(fingerprint: str, mapping: Rules) -> str:
    """The fingerprint of a snapshot whose lists the mapping explodes: its rows are others."""
    if mapping.explode is None:
        return fingerprint
    return hashlib.sha256(f"{fingerprint}\nexplode 1 {mapping.explode}".encode()).hexdigest()


def with_faults_of_entries(frame: pl.DataFrame, mapping: Rules, fault: str = FAULT) -> pl.DataFrame:
    """Rows of entries that were stored; the column `fault` is set where a row has no entry."""
    if mapping.explode is None:
        return frame
    null = pl.any_horizontal(column_of(mapping.explode).is_null(), pl.col(ENTRY).is_null()) & pl.col(fault).is_null()
    return frame.with_columns(pl.when(null).then(pl.lit(ENTRY_NULL)).otherwise(fault).alias(fault))


@dataclass(frozen=True, slots=True)
class _Lists:
    """The lists of a column of a snapshot."""

    snapshot: Snapshot
    name: str

    def places(self) -> _Places:
        """How many entries each row has."""
        counts, has_entries, has_fault = [np.zeros(1, np.int64)], [np.empty(0, np.bool_)], [np.empty(0, np.bool_)]
        found, rows = [pl.DataFrame(schema={POSITION: pl.Int64, "reason": _REASON})], 0
        for frame in self.snapshot.read([self.name], 0):
            entries, lengths, faults = self._entries(frame)
            counts.append(np.maximum(lengths.to_numpy(), 1))
            has_entries.append((lengths > 0).to_numpy())
            has_fault.append(faults.is_not_null().to_numpy())
            starts = pl.Series(rows + np.cumsum(counts[-1]) - counts[-1])
            own = faults.is_not_null() & frame[FAULT].is_null()
            found.append(_faults(starts.filter(own), faults.filter(own)))
            if entries.null_count():
                shifts = (starts - lengths.cum_sum() + lengths).to_numpy().repeat(lengths.to_numpy())
                nulls = pl.Series(shifts + np.arange(len(entries))).filter(entries.is_null())
                found.append(_faults(nulls, _repeated(ENTRY_NULL, len(nulls))))
            rows += int(counts[-1].sum())
        every = pl.concat(found).sort(POSITION)
        return _Places(np.cumsum(np.concatenate(counts)), np.concatenate(has_entries), np.concatenate(has_fault), every)

    def frames(self, columns: Sequence[str] | None, start: int, places: _Places) -> Iterator[pl.DataFrame]:
        """The rows of entries from a position on, FRAME_ROWS at most in a frame."""
        wanted = [*self.snapshot.schema, ENTRY] if columns is None else list(dict.fromkeys(columns))
        own = [name for name in wanted if name != ENTRY]
        for frame in self.snapshot.read(own, int(places.rows_at([start])[0])):
            first, cut = int(frame[POSITION][0]), 0
            bounds = places.bounds[first : first + frame.height + 1]
            while cut < frame.height:
                begin = int(bounds[cut])
                end = max(int(np.searchsorted(bounds[1:], begin + FRAME_ROWS, side="right")), cut + 1)
                made = self._exploded(frame[cut:end], places).select(*map(column_of, wanted), POSITION, FAULT)
                cut = end
                if (before := start - begin) > 0:
                    made = made[before:]
                yield from made.iter_slices(FRAME_ROWS) if made.height else ()

    def _exploded(self, frame: pl.DataFrame, places: _Places) -> pl.DataFrame:
        """The rows of the entries of some rows."""
        first, end = int(frame[POSITION][0]), int(frame[POSITION][-1]) + 1
        starts = places.bounds[first:end]
        rows = np.repeat(np.arange(frame.height), np.diff(places.bounds[first : end + 1]))
        positions = np.arange(starts[0], places.bounds[end])
        has_place = (places.has_entries[first:end] | places.has_fault[first:end])[rows]
        entry = pl.DataFrame({"entry": positions - starts[rows], "has": has_place})
        made = frame.drop(POSITION)[rows].with_columns(
            pl.Series(POSITION, positions),
            entry.select(pl.when("has").then("entry").alias(ENTRY)).to_series(),
        )
        limits = (starts[0], places.bounds[end])
        begin, stop = (places.faults[POSITION].search_sorted(int(limit), "left") for limit in limits)
        if stop > begin:
            reasons = made.select(POSITION).join(
                places.faults[begin:stop], on=POSITION, how="left", maintain_order="left"
            )
            made = made.with_columns(pl.coalesce(FAULT, pl.lit(reasons["reason"].cast(pl.String))).alias(FAULT))
        if self.name not in frame.columns:
            return made
        entries, lengths, _ = self._entries(frame)
        filled = (lengths > 0).to_numpy()[rows]
        at = pl.DataFrame({"at": np.cumsum(filled) - 1, "filled": filled}).select(pl.when("filled").then("at"))
        return made.with_columns(entries.gather(at.to_series()).alias(self.name))

    def _entries(self, frame: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.Series]:
        """The entries of all rows, one after the other; how many each row has; and the fault of each row, or null."""
        column, faults = frame[self.name], frame[FAULT]
        if not isinstance(column.dtype, pl.String | pl.Null):
            found = listed(column_of(self.name), column.dtype)
            assert found is not None
            lists = frame.select(found[0].alias("v"))["v"]
            lengths = lists.list.len().fill_null(0).cast(pl.Int64)
            return lists.filter(lengths > 0).explode(), lengths, faults
        texts = column.cast(pl.String).str.strip_chars(" \t\r\n")
        if self.name not in self.snapshot.json and (bad := is_no_json(texts)).any():
            faults = faults.zip_with(~bad | faults.is_not_null(), _repeated(JSON_UNREADABLE, frame.height))
            texts = texts.zip_with(~bad, _repeated(None, frame.height))
        is_list = texts.str.starts_with("[").fill_null(False)
        others = texts.is_not_null() & ~is_list & (texts != "null")
        if others.any():
            faults = faults.zip_with(~others | faults.is_not_null(), _repeated(NOT_A_LIST, frame.height))
        entries, counts = entries_of_lists(texts.filter(is_list))
        if not is_list.all():
            of_rows = np.zeros(frame.height, np.int64)
            of_rows[is_list.to_numpy()] = counts.to_numpy()
            counts = pl.Series(of_rows)
        return entries, counts, faults


_REASON = pl.Enum([JSON_UNREADABLE, NOT_A_LIST, ENTRY_NULL])


def _faults(positions: pl.Series, reasons: pl.Series) -> pl.DataFrame:
    return pl.DataFrame([positions.cast(pl.Int64).alias(POSITION), reasons.cast(_REASON).alias("reason")])


def _repeated(text: str | None, rows: int) -> pl.Series:
    return pl.Series([text], dtype=pl.String).new_from_index(0, rows)
