"""Columns that say who wants no mail, where the mapping would leave such people subscribed.

Such a column is recognised by its name: one that refuses (`unsubscribed`, `opt_out`, `bounced`), one that consents
(`opt_in`, `email_marketing_consent`), or a status, which says something about mail only by its values (`cleaned`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

import polars as pl

from cio_etl.audit.findings import PositionedFinding, StepContext, Tally, finding_kind
from cio_etl.model import POSITION, Constant, Mapping, Step
from cio_etl.model.name_words import name_words
from cio_etl.model.words import counted
from cio_etl.transform import Mapped, columns_of, path_of
from cio_etl.transform.row_sql import columns_of as columns_of_sql

CONSENT_NOT_MAPPED = finding_kind(
    "consent_not_mapped",
    "warning",
    "map the column to `unsubscribed`, or suppress these people by `when` in a step before: Customer.io would mail "
    "them",
)

ConsentKind = Literal["refusal", "consent", "status"]

UNSUBSCRIBED = "attributes.unsubscribed"  # true, 1, "true" and "1" unsubscribe a person (Track API reference)
_SETS_CONSENT = ("suppress", "delete")  # operations after which nobody is mailed

# Patterns over the words of a name, in lower case and joined: `_email_marketing_consent_`.
_REFUSAL = (
    r"_(?:unsub\w*|opt(?:ed)?_?outs?|suppress\w*|(?:hard_)?bounced?|complain\w*|spam(?:_report\w*|_complaint\w*)?"
    r"|do_not_(?:e?_?mail|contact|market|disturb)|dnc|no_?(?:e?_?mails?|mailings?|newsletters?|marketing)"
    r"|(?:black|block|deny)_?list(?:ed)?|cleaned|clean(?=_time_)|abgemeldet|desabonne|desinscrit)_"
)
_CONSENT = (
    r"_(?:opt(?:ed)?_?ins?|consent(?:s|ed)?|subscribed?|accepts_(?:\w+_)?marketing|marketing_(?:allowed|permission)"
    r"|newsletters?|einwilligung|consentement)_"
)
_STATUS = r"_(?:status|state)_"
_OF_MAIL = r"_(?:subscri\w*|e_?mails?|mailing|marketing|newsletters?)_(?:\w+_)?(?:status|state)_"
# What such names also stand for: where, when and how a person consented, and counts of messages.
_ABOUT = (
    r"_(?:ip|id|campaign|title|source|method|counts?|number|num|rate|ratio|score|total|by|url|link|version|form|text"
    r"|name|type|owner)_|_emails_(?:bounced|sent|opened|clicked|delivered)_|_of_(?:emails|bounces)_|^_\w*_count_$"
)
_TIME = r"_(?:time|timestamp|date|at|on|since|until)_"
_OTHER_CHANNEL = r"_(?:sms|mms|push|phone|mobile|whatsapp|calls?|web|in_app|direct_?mail|letters?)_"

_FALSE = (
    "false",
    "0",
    "0.0",
    "no",
    "n",
    "f",
    "off",
    "nein",
    "non",
    "nee",
    "nej",
    "nei",
    "não",
    "nao",
    "ne",
    "nie",
    "ei",
)
_NO_REFUSAL = (
    *_FALSE,
    *("", "never", "none", "null", "n/a", "na", "-", "[]", "{}", "active", "subscribed", "opted_in", "opted in"),
    *("valid", "ok", "clean", "delivered", "not set"),
)
_REFUSED = (
    r"un[ _-]?subscribed?|cleaned|(?:hard[ _-]?|soft[ _-]?)?bounced?|complain(?:ed|t)|spam(?:[ _-]?\w+)?"
    r"|opt(?:ed)?[ _-]?out|suppressed|(?:black|block)[ _-]?listed|do[ _-]not[ _-](?:e?mail|contact)"
    r"|(?:never|not|non)[ _-]?subscribed|global(?:ly)?[ _-]unsubscribed?"
)
_NOT_GIVEN = (
    r"denied|revoked|withdrawn|declined|refused|rejected|pending|blocked|archived|transactional|invalid|expired"
)


def consent_kind(name: str) -> ConsentKind | None:
    """What a column of this name says about consent to messages; None: nothing.

    >>> consent_kind("Unsubscribed from Emails"), consent_kind("email_marketing_consent"), consent_kind("OPTIN_IP")
    ('refusal', 'consent', None)
    """
    words = name_words(name)
    if re.search(_ABOUT, words):
        return None
    if re.search(_OF_MAIL, words):
        return "consent"
    if re.search(_REFUSAL, words):
        return "refusal"
    if re.search(_CONSENT, words):
        return None if re.search(_TIME, words) else "consent"
    return "status" if re.search(_STATUS, words) else None


def is_of_another_channel(name: str) -> bool:
    """Whether the name says that the consent is about text messages, push messages, calls or letters."""
    return re.search(_OTHER_CHANNEL, name_words(name)) is not None


def refuses(column: pl.Expr, dtype: pl.DataType, kind: ConsentKind) -> pl.Expr | None:
    """Whether a value says that its person wants no messages; null and what is not known do not. None: cannot tell."""
    if isinstance(dtype, pl.List):
        return (column.list.len() > 0).fill_null(False) if kind == "refusal" else None
    if dtype.is_nested() or dtype == pl.Binary:
        return None
    text = column.cast(pl.String).str.strip_chars().str.to_lowercase()
    if kind == "refusal":
        return (column.is_not_null() & ~text.is_in(_NO_REFUSAL)).fill_null(False)
    refused = text.str.contains(rf"^(?:{_REFUSED}|{_NOT_GIVEN})$" if kind == "consent" else rf"^(?:{_REFUSED})$")
    return (refused | text.is_in(_FALSE) if kind == "consent" else refused).fill_null(False)


class Consent:
    """Counts the rows that say no to messages, by each such column, and are sent without `unsubscribed: true`."""

    def __init__(self, step: Step, context: StepContext) -> None:
        self._mapping = step.mapping
        self._sets = step.mapping.targets.get(UNSUBSCRIBED)
        others = [other.mapping for other in context.steps if other.name != step.name]
        names = {name for mapping in others for name in _handled_by(mapping)}
        names.update(name for value in step.mapping.part("topics").values() for name in value.sources)
        handled = names | {path.column for name in names if (path := path_of(name, context.columns)) is not None}
        kinds = {name: kind for name in context.columns if (kind := consent_kind(name)) and name not in handled}
        unsubscribes = isinstance(self._sets, Constant) and self._sets.value is True
        self._kinds = {} if step.mapping.operation != "identify" or unsubscribes else kinds
        self._tallies = {name: Tally() for name in self._kinds}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be read, also those that the mapping does not read."""
        return tuple(self._kinds)

    def observe(self, mapped: Mapped) -> None:
        if not self._kinds:
            return
        sent = mapped.items.filter(pl.col("item").is_not_null())["position"]
        rows = mapped.rows.filter(pl.col(POSITION).is_in(sent.implode()))
        if UNSUBSCRIBED in mapped.values.columns:
            unsubscribed = mapped.values.filter(_is_true(mapped.values.schema[UNSUBSCRIBED]))[POSITION]
            rows = rows.filter(~pl.col(POSITION).is_in(unsubscribed.implode()))
        for name, kind in self._kinds.items():
            says_no = refuses(pl.col(name), rows.schema[name], kind) if name in rows.columns else None
            if says_no is not None:
                self._tallies[name].add(rows[POSITION], rows.select(says_no.alias("no")).to_series())

    def findings(self) -> Iterable[PositionedFinding]:
        read = columns_of(self._mapping)
        for name, tally in self._tallies.items():
            if tally.rows:
                decided = self._sets is not None and name in read
                by_the_way = decided or is_of_another_channel(name)
                rows = counted(tally.rows, "row says", "rows say")
                words = f"{rows} that the person wants no messages, and {_go(tally.rows)} without `unsubscribed: true`"
                severity: Literal["warning", "notice"] = "notice" if by_the_way else "warning"
                yield CONSENT_NOT_MAPPED.finding(name, tally.rows, words, tally.first, severity)


def _go(rows: int) -> str:
    return "is sent" if rows == 1 else "are sent"


def _is_true(dtype: pl.DataType) -> pl.Expr:
    value = pl.col(UNSUBSCRIBED)
    if isinstance(dtype, pl.Boolean):
        return value.fill_null(False)
    return value.cast(pl.String, strict=False).str.to_lowercase().is_in(("true", "1", "1.0")).fill_null(False)


def _handled_by(mapping: Mapping) -> Iterator[str]:
    """The columns by which a step unsubscribes or suppresses people."""
    if mapping.operation in _SETS_CONSENT or UNSUBSCRIBED in mapping.targets:
        yield from columns_of_sql(mapping.when) if mapping.when is not None else ()
    if mapping.operation == "identify":
        consent = [value for target, value in mapping.targets.items() if target == UNSUBSCRIBED]
        for value in [*consent, *mapping.part("topics").values()]:
            yield from value.sources
