"""The time zones that match the offsets of a column: +01:00 in winter and +02:00 in summer is Europe/Paris."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

# Of the zones that change their clocks, one for each set of rules, the best known first. Others share the rules.
ZONES = (
    *("Europe/Paris", "Europe/London", "Europe/Athens", "Europe/Lisbon", "Europe/Chisinau"),
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Anchorage"),
    *("America/Halifax", "America/St_Johns", "America/Sao_Paulo", "America/Santiago", "America/Asuncion"),
    *("America/Mexico_City", "America/Havana", "Australia/Sydney", "Australia/Adelaide", "Australia/Lord_Howe"),
    *("Pacific/Auckland", "Pacific/Chatham", "Asia/Jerusalem", "Asia/Beirut", "Africa/Cairo", "Africa/Casablanca"),
    *("America/Nuuk", "America/Miquelon", "Pacific/Norfolk", "Asia/Tehran", "Europe/Istanbul", "Europe/Moscow"),
)
_MOST = 3  # zones that are named
_MAX_DAYS = 100_000  # of evidence in memory


@dataclass(frozen=True, slots=True)
class Offsets:
    """How often each offset is written, and the zones of which all of them could be."""

    counts: Mapping[str, int] = field(default_factory=dict)
    zones: tuple[str, ...] = ()


class OffsetCounts:
    """The offsets of one column, counted frame by frame."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.days: pl.DataFrame | None = None  # offset_s and, of each day that had it, one instant

    def take(self, texts: pl.Series, instants: pl.Series) -> None:
        """Counts the offsets of ISO texts that end in one; `instants` are their Unix seconds."""
        frame = pl.DataFrame({"text": texts, "instant": instants}).with_columns(
            pl.col("text").str.slice(16).str.extract("([+-][0-9:]{2,5})$").alias("offset"),
            pl.col("instant").floordiv(86_400).alias("day"),
        )
        of_days = frame.group_by("offset", "day").agg(pl.len().alias("count"), pl.col("instant").min())
        for offset, count in of_days.group_by("offset").agg(pl.col("count").sum()).iter_rows():
            self.counts[_normal(offset)] += count
        of_days = of_days.select("offset", "day", "instant")
        days = of_days if self.days is None else pl.concat([self.days, of_days]).unique(["offset", "day"])
        self.days = days.head(_MAX_DAYS)

    def offsets(self) -> Offsets:
        """The offsets, the most frequent first."""
        return Offsets(dict(sorted(self.counts.items(), key=lambda one: (-one[1], one[0]))), self._zones())

    def _zones(self) -> tuple[str, ...]:
        """None where one offset is all there is: it may be any of many zones."""
        if self.days is None or len(self.counts) < 2:
            return ()
        stated = self.days["offset"].replace_strict(
            {offset: _seconds(offset) for offset in self.days["offset"].unique().to_list()}, return_dtype=pl.Int64
        )
        moments = pl.from_epoch(self.days["instant"], "s").dt.replace_time_zone("UTC")
        return tuple(zone for zone in ZONES if (_offset_in(moments, zone) == stated).all())[:_MOST]


def _offset_in(moments: pl.Series, zone: str) -> pl.Series:
    local = moments.dt.convert_time_zone(zone)
    return (local.dt.base_utc_offset() + local.dt.dst_offset()).dt.total_seconds()


def _normal(offset: str) -> str:
    """+02, +0200 and +02:00 as +02:00."""
    digits = offset[1:].replace(":", "").ljust(4, "0")
    return f"{offset[0]}{digits[:2]}:{digits[2:]}"


def _seconds(offset: str) -> int:
    normal = _normal(offset)
    return (int(normal[1:3]) * 3_600 + int(normal[4:]) * 60) * (-1 if normal[0] == "-" else 1)
