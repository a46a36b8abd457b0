"""What a ledger says of rows that a person should know: events that changed after they were sent, new attributes."""

from __future__ import annotations

from collections.abc import Iterable

from cio_etl.audit.findings import PositionedFinding, finding_kind
from cio_etl.model import DeltaCounts
from cio_etl.model.words import counted
from cio_etl.transform import Mapped

EVENT_CHANGED_AFTER_SENT = finding_kind(
    "event_changed_after_sent",
    "warning",
    "nothing, if the event may stay as it was first sent; if both versions should count, add a column to event_key",
)
EVENT_NOT_REMEMBERED = finding_kind(
    "event_not_remembered",
    "notice",
    "nothing, if events so old are not wanted; to send those that were never sent, write a longer remember",
)
BACKFILL = finding_kind(
    "backfill", "notice", "nothing: the attribute is new in the mapping, and is sent once for everybody who has it"
)
GONE_NOT_KNOWN = finding_kind(
    "gone_not_known",
    "warning",
    "fix the rows that do not say whom they are about: until then nobody is removed, since they may be anybody",
)
GONE_BY_WHEN = finding_kind(
    "gone_by_when",
    "notice",
    "nothing, if `when` leaves these rows out on purpose; otherwise correct `when`: the source still has their rows",
)
GONE_WITHOUT_NAME = finding_kind(
    "gone_without_name",
    "warning",
    "remove them in Customer.io by hand; a mirror removes only whom it has had in its source itself",
)
EMPTY_NOT_SENT = finding_kind(
    "empty_not_sent",
    "notice",
    "nothing, if Customer.io may keep the old values; to remove them, write nulls: clear in the mapping",
)
NO_LONGER_MAPPED = finding_kind(
    "no_longer_mapped",
    "notice",
    "nothing, if Customer.io may keep the values; to remove them, map the attribute to `value: null` with nulls: clear",
)


class SentBefore:
    """The findings of a delta; all rows have been compared when it is made."""

    def __init__(
        self,
        counts: DeltaCounts,
        changed_after_sent: tuple[int, ...],
        before: Iterable[str],
        now: Iterable[str],
        nouns: tuple[str, str],
        *,
        is_mirror: bool,
    ) -> None:
        self._counts, self._changed = counts, changed_after_sent
        self._before, self._now, self._is_mirror = list(before), list(now), is_mirror
        self._nouns = nouns  # what one subject is, and what several are

    def observe(self, mapped: Mapped) -> None:
        """Does nothing."""

    def findings(self) -> Iterable[PositionedFinding]:
        if count := self._counts.changed_after_sent:
            words = "was sent before with other values, and is not sent again"
            more = "were sent before with other values, and are not sent again"
            words = counted(count, f"event {words}", f"events {more}")
            yield EVENT_CHANGED_AFTER_SENT.finding("event_key", count, words, self._changed)
        if count := self._counts.too_old:
            words = "event is older than `remember` allows, and is neither sent nor compared"
            more = "events are older than `remember` allows, and are neither sent nor compared"
            yield EVENT_NOT_REMEMBERED.finding("timestamp", count, counted(count, words, more))
        if self._is_mirror and (count := self._counts.unreadable):
            words = "row does not say whom it is about"
            more = "rows do not say whom they are about"
            yield GONE_NOT_KNOWN.finding(None, count, f"{counted(count, words, more)}, so nobody is removed")
        if count := self._counts.left_out:
            words = "subject is gone, since `when` leaves its row out"
            more = "subjects are gone, since `when` leaves their rows out"
            yield GONE_BY_WHEN.finding("when", count, counted(count, words, more))
        if count := self._counts.nameless:
            words = "subject is gone that was sent before this step was a mirror"
            more = "subjects are gone that were sent before this step was a mirror"
            words = (
                f"{counted(count, words, more)}; the ledger does not store who they are, so they stay in Customer.io"
            )
            yield GONE_WITHOUT_NAME.finding(None, count, words)
        for name, part in self._counts.parts.items():
            if part.emptied:
                words = f"empty in {counted(part.emptied, 'row')} whose subject had a value, which Customer.io keeps"
                yield EMPTY_NOT_SENT.finding(name, part.emptied, words)
        for name in self._now:
            rows = self._counts.parts.get(name)
            if name not in self._before and rows is not None and rows.set:
                words = f"new in the mapping; sent for {counted(rows.set, *self._nouns)}"
                yield BACKFILL.finding(name, rows.set, words)
        for name in self._before:
            if name not in self._now:
                words = "no longer in the mapping; Customer.io keeps the values that were sent"
                yield NO_LONGER_MAPPED.finding(name, 0, words)
