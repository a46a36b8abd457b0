"""Compares rows with the ledger: which are new, changed, the same, refused before, and who is gone. Frames in and out.

Rows have POSITION, lane UInt8, `hi` and `lo` UInt64 (the subject), `part.<name>` UInt64 (null: the row has no such
part) and the String columns of Rules.keys. Known subjects have `hi`, `lo`, was_accepted Boolean (null: an answer was
lost, so Customer.io may have them or not), refused List with reason and field (the contents that Customer.io refused),
`part.<name>` (null: never accepted, or not known) and keys.
For Rules.values both have `value.<name>` String, the text of which the part is the hash (null: not known).

A subject may have several rows. For each part the last row that has it counts, as it would if all rows were sent. Ties,
which are the relationships of a person or an object, do not replace each other: those of all rows count together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from cio_etl.model import POSITION, DeltaCounts, PartCounts
from cio_etl.model.records import dataclass
from cio_etl.transform import decisions, ids

SUBJECT = ("hi", "lo")
REFUSED_AT_MOST = 100  # contents of a subject that are remembered, the newest; a subject may have several rows
TOGETHER = "together."  # prefix of the columns that stand for the relationships of all rows of a subject
TIME = "key.timestamp"  # one of Rules.keys: when an event was, as whole Unix seconds
VALUE = "value."  # prefix of the String columns of what the parts are
SENT = "sent."  # prefix of the Boolean columns: whether a row's item carries this part


@dataclass(frozen=True, slots=True)
class Rules:
    """How rows are compared with the ledger."""

    parts: tuple[str, ...]
    salt: int
    divisible: bool  # items can carry some of their parts; else they are sent whole
    once: bool = False  # events: what was accepted is never sent again
    again: bool = False  # --full-refresh: everything is sent
    retry_refused: bool = False
    keys: tuple[str, ...] = ()  # columns that the ledger stores: who the subjects are, so that they can be removed
    values: tuple[str, ...] = ()  # parts of which the ledger stores the text, too
    since: int | None = None  # Unix seconds: events before are neither sent nor compared; keys has TIME
    scope: tuple[str, ...] = ()  # those of `keys` within whose values a subject can be gone
    distinct: bool = False  # it is known that no two rows are about the same subject


def decided(rows: pl.DataFrame, known: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """What is sent of each row: `rows` with code UInt8 (transform/decisions.py), and more columns.

    update, `sent.<part>`, is_known, is_changed_after_sent, is_too_old and moves_key are Boolean; `before.<part>` are
    the ledger's hashes, reason and field those of an earlier refusal.
    """
    of_known = [pl.col(name) for name in ("was_accepted", "refused", "reason", "field")]
    of_known += [column_of(known, f"part.{name}", pl.UInt64).alias(f"before.{name}") for name in rules.parts]
    strings = (*rules.keys, *values_of(rules))
    of_known += [column_of(known, name, pl.String).alias(f"before.{name}") for name in strings]
    joined = rows.join(
        known.select(*SUBJECT, *of_known), on=SUBJECT, how="left", maintain_order="left", nulls_equal=False
    ).with_columns(pl.col("was_accepted").fill_null(False))
    has_refused = known["refused"].null_count() < known.height
    joined = joined.with_columns((_refused_before(rules) if has_refused else pl.lit(False)).alias("is_refused"))
    joined = joined.with_columns(too_old(rules).alias("is_too_old"))
    known_before = pl.col("was_accepted") & pl.lit(not rules.again)
    counts = ~pl.col("is_refused") & ~pl.col("is_too_old")
    several = has_several(rows)

    def is_last(where: pl.Expr, *of: str) -> pl.Expr:
        """Whether the row is its subject's last for which this is true; of those with the same value in `of`."""
        if not several:
            return where
        return where & (pl.col(POSITION) == pl.when(where).then(POSITION).max().over(*SUBJECT, *of))

    ties = [name for name in rules.parts if is_tie(name)] if several else []
    joined = joined.with_columns(_together(name, counts, rules.salt).alias(f"{TOGETHER}{name}") for name in ties)
    differs = {}
    for name in rules.parts:
        new, before = compared(joined, name), pl.col(f"before.{name}")
        where = counts & pl.col(f"part.{name}").is_not_null()
        counting = is_last(where, f"part.{name}") if name in ties else is_last(where)
        differs[name] = counting & (~known_before | new.ne_missing(before))
    joined = joined.with_columns(
        *(each.alias(f"{SENT}{name}") for name, each in differs.items()),
        (is_last(counts) & ~known_before).alias("is_first_time"),
        known_before.alias("is_known"),
    )
    some_differ = pl.any_horizontal(pl.lit(False), *(pl.col(f"{SENT}{name}") for name in rules.parts))
    sends = pl.col("is_first_time") if rules.once else pl.col("is_first_time") | some_differ
    whole_subject = sends if rules.divisible or not several else sends.any().over(*SUBJECT) & counts
    alone = pl.lit(True) if not several else pl.struct(*SUBJECT).is_duplicated().not_()
    partial = pl.lit(rules.divisible) & (pl.col("is_known") | ~alone)
    moved_keys = [pl.col(name).ne_missing(pl.col(f"before.{name}")) for name in rules.keys]
    code = (
        pl.when(pl.col("is_too_old"))
        .then(decisions.SAME)
        .when(pl.col("is_refused"))
        .then(decisions.REFUSED)
        .when(~whole_subject)
        .then(decisions.SAME)
        .when(partial)
        .then(decisions.PARTIAL)
        .otherwise(decisions.WHOLE)
    )
    return joined.with_columns(
        code.cast(pl.UInt8).alias("code"),
        pl.col("is_known").alias("update"),
        (pl.lit(rules.once) & pl.col("is_known") & some_differ).alias("is_changed_after_sent"),
        (pl.col("was_accepted") & pl.any_horizontal(pl.lit(False), *moved_keys)).alias("moves_key"),
    )


def too_old(rules: Rules) -> pl.Expr:
    """Whether an event is older than the ledger remembers; not where its time is not known."""
    if rules.since is None:
        return pl.lit(False)
    return (pl.col(TIME).cast(pl.Int64) < rules.since).fill_null(False)


def values_of(rules: Rules) -> tuple[str, ...]:
    """The columns of the texts of parts."""
    return tuple(f"{VALUE}{name}" for name in rules.values)


def is_tie(part: str) -> bool:
    """Whether a part is a relationship, which is added to those that the subject has."""
    return part.endswith("]")


def compared(rows: pl.DataFrame, name: str) -> pl.Expr:
    """What the ledger has of a part: of ties, a hash of those of all rows."""
    return pl.col(together if (together := f"{TOGETHER}{name}") in rows.columns else f"part.{name}")


def _together(name: str, counts: pl.Expr, salt: int) -> pl.Expr:
    """A hash of the ties of all rows of a subject; the tie's own where there is one."""
    ties = pl.col(f"part.{name}").filter(counts).drop_nulls().unique().sort()
    several = ids.text_hash(ties.cast(pl.String).str.join(","), salt)
    return pl.when(ties.len() > 1).then(several).otherwise(ties.first()).over(*SUBJECT)


def has_several(rows: pl.DataFrame) -> bool:
    """Whether a subject has several rows."""
    if rows["hi"].n_unique() == rows.height:
        return False
    return bool(rows.select(pl.struct(*SUBJECT).is_duplicated().any()).item())


def column_of(frame: pl.DataFrame, name: str, dtype: type[pl.DataType]) -> pl.Expr:
    """A column of the frame; nulls where it has none, as of a part that is new in the mapping."""
    return pl.col(name) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name)


def _refused_before(rules: Rules) -> pl.Expr:
    """Whether Customer.io refused just this content last time."""
    if rules.again or rules.retry_refused:
        return pl.lit(False)
    return pl.col("refused").list.contains(content(rules)).fill_null(False)


def content(rules: Rules) -> pl.Expr:
    """A hash of all parts of a row, with their names."""
    return ids.content({name: pl.col(f"part.{name}") for name in rules.parts}, rules.salt)


def counts_of(rows: pl.DataFrame, rules: Rules, null: int) -> DeltaCounts:
    """The counts of decided rows, by subject; `null` is the hash of a part that is null."""
    old = int(rows["is_too_old"].sum())
    rows = rows.filter(~pl.col("is_too_old")) if old else rows
    several = has_several(rows)
    everybody = rows.select(SUBJECT).n_unique() if several else rows.height
    watched = () if several or rules.once else rules.parts
    emptied = rows.select(_is_emptied(name, null).sum() for name in watched).to_dicts() or [{}]
    rows = rows.filter((pl.col("code") != decisions.SAME) | pl.col("is_changed_after_sent"))
    sends = pl.col("code").is_in([decisions.WHOLE, decisions.PARTIAL])
    facts = {
        "new": sends & ~pl.col("is_known"),
        "changed": sends & pl.col("is_known"),
        "refused": pl.col("code") == decisions.REFUSED,
        "late": pl.col("is_changed_after_sent"),
    }
    for name in rules.parts:
        new, before = pl.col(f"part.{name}"), pl.col(f"before.{name}")
        moved = pl.col(f"{SENT}{name}") & pl.col("is_known") & pl.lit(not rules.once)
        facts[f"set {name}"] = moved & before.is_null()
        facts[f"changed {name}"] = moved & before.is_not_null() & (new != null)
        facts[f"unset {name}"] = moved & before.is_not_null() & (new == null)
    by_row = rows.select(*SUBJECT, *(each.fill_null(False).alias(name) for name, each in facts.items()))
    subjects = by_row.group_by(*SUBJECT).agg(pl.all().any()) if several else by_row
    sums = subjects.select(
        *(pl.col(name).sum() for name in facts),
        (pl.col("refused") & ~pl.col("new") & ~pl.col("changed")).sum().alias("refused alone"),
    ).row(0, named=True)
    return DeltaCounts(
        new=sums["new"],
        changed=sums["changed"],
        same=everybody - sums["new"] - sums["changed"] - sums["refused alone"],
        refused_before=sums["refused alone"],
        changed_after_sent=sums["late"],
        too_old=old,
        parts={
            name: PartCounts(
                **{kind: sums[f"{kind} {name}"] for kind in ("set", "changed", "unset")},
                emptied=emptied[0].get(name, 0),
            )
            for name in rules.parts
        },
    )


def _is_emptied(name: str, null: int) -> pl.Expr:
    """Whether Customer.io has a value of this part, of which the subject's only row has none."""
    return (pl.col("is_known") & pl.col(f"part.{name}").is_null() & (pl.col(f"before.{name}") != null)).alias(name)


def gone(known: pl.DataFrame, seen: pl.DataFrame, scopes: pl.DataFrame | None, rules: Rules) -> pl.DataFrame:
    """The subjects that no row is about and that Customer.io has, or may have: `hi`, `lo` and keys (null: not known).

    `seen` has the subjects of all rows, those of rejected rows too. `scopes` has the values of the scope's columns that
    some row has: a subject with other values, or with none that are known, is not gone. None: the step has no scope.
    """
    missing = known.filter(pl.col("was_accepted").fill_null(True)).join(seen, on=SUBJECT, how="anti")
    missing = missing.select(*SUBJECT, *(column_of(missing, key, pl.String) for key in rules.keys))
    return missing if scopes is None else missing.join(scopes, on=list(rules.scope), how="semi")


def folded(known: pl.DataFrame, sent: pl.DataFrame, rules: Rules, keys: Iterable[str]) -> pl.DataFrame:
    """The known subjects as these rows leave them; only those that they are about.

    `sent` has POSITION, `hi`, `lo`, `part.<name>` and `value.<name>` (null: not sent in this row), `key.<target>`,
    content UInt64 and outcome: accepted, refused (with reason and field), unknown (it may have been accepted, and no
    answer came), or null (it was not sent, since the run was abandoned). Without Rules.values, values are dropped.
    """
    accepted, unknown = (pl.col("outcome") == name for name in ("accepted", "unknown"))
    parts, values = [f"part.{name}" for name in rules.parts], values_of(rules)
    some_refused = bool((sent["outcome"] == "refused").any()) or known["refused"].null_count() < known.height

    def last(name: str, where: pl.Expr) -> pl.Expr:
        return pl.col(name).filter(where).drop_nulls().last()

    def is_unknown(name: str) -> pl.Expr:
        """Whether it is not known what Customer.io has: no answer came, or it took only some of a subject's ties."""
        part, took = pl.col(name), accepted.fill_null(False)
        no_answer = part.filter(unknown).is_not_null().any()
        if not is_tie(name):
            return no_answer
        return no_answer | (part.filter(took).is_not_null().any() & part.filter(~took).is_not_null().any())

    if not rules.distinct and has_several(sent):
        subjects = (
            sent.sort(POSITION)
            .group_by(*SUBJECT, maintain_order=True)
            .agg(
                pl.col("outcome").is_not_null().any().alias("has_ended"),
                accepted.any().alias("accepted"),
                unknown.any().alias("unknown"),
                *(last(name, accepted).alias(name) for name in (*parts, *values)),
                *(is_unknown(name).alias(f"unknown.{name}") for name in parts),
                *(pl.col(name).drop_nulls().last().alias(name) for name in keys),
            )
        )
    else:  # as above of groups of one row, which polars would make slowly
        subjects = sent.select(
            *SUBJECT,
            pl.col("outcome").is_not_null().alias("has_ended"),
            accepted.fill_null(False).alias("accepted"),
            unknown.fill_null(False).alias("unknown"),
            *(pl.when(accepted).then(name).alias(name) for name in (*parts, *values)),
            *((unknown.fill_null(False) & pl.col(name).is_not_null()).alias(f"unknown.{name}") for name in parts),
            *keys,
        )
    subjects = subjects.filter("has_ended")
    kept = ("part.", VALUE) if values else ("part.",)
    others = [name for name in known.columns if name.startswith(kept) and name not in (*parts, *values)]
    if known.is_empty() and not some_refused:
        unknown_to_all = [pl.lit(None, known.schema[name]).alias(name) for name in others]
        return _first(subjects, parts, values, [*unknown_to_all, *map(pl.col, keys)])
    before = known.select(
        *SUBJECT,
        "was_accepted",
        pl.col("was_accepted").is_null().alias("may_be_there"),
        *(column_of(known, name, pl.UInt64).alias(f"before.{name}") for name in parts),
        *(column_of(known, name, pl.String).alias(f"before.{name}") for name in (*keys, *values)),
    )
    both = subjects.join(before, on=SUBJECT, how="left").join(known.select(*SUBJECT, *others), on=SUBJECT, how="left")
    refusals = _refusals(known, sent.sort(POSITION)) if some_refused else known.select(*SUBJECT, *REFUSAL).clear()
    return both.join(refusals, on=SUBJECT, how="left").select(
        *SUBJECT,
        pl.when(pl.col("accepted") | pl.col("was_accepted").fill_null(False))
        .then(True)
        .when(~pl.col("unknown") & ~pl.col("may_be_there").fill_null(False))
        .then(False)
        .alias("was_accepted"),
        *REFUSAL,
        pl.lit(False).alias("is_gone"),
        *(pl.when(~pl.col(f"unknown.{name}")).then(pl.coalesce(name, f"before.{name}")).alias(name) for name in parts),
        *(
            pl.when(pl.col(f"unknown.part.{name}"))
            .then(None)
            .when(pl.col(f"part.{name}").is_not_null())
            .then(f"{VALUE}{name}")
            .otherwise(f"before.{VALUE}{name}")
            .alias(f"{VALUE}{name}")
            for name in rules.values
        ),
        *others,
        *(pl.coalesce(name, f"before.{name}").alias(name) for name in keys),
    )


REFUSAL = ("refused", "reason", "field")


def _first(
    subjects: pl.DataFrame, parts: Sequence[str], values: Sequence[str], more: Sequence[pl.Expr]
) -> pl.DataFrame:
    """The known subjects of a partition in which nobody was known: the joins of `folded` would find nothing."""
    return subjects.select(
        *SUBJECT,
        pl.when("accepted").then(True).when(~pl.col("unknown")).then(False).alias("was_accepted"),
        pl.lit(None, dtype=pl.List(pl.UInt64)).alias("refused"),
        *(pl.lit(None, dtype=pl.String).alias(name) for name in ("reason", "field")),
        pl.lit(False).alias("is_gone"),
        *(pl.when(~pl.col(f"unknown.{name}")).then(name).alias(name) for name in parts),
        *(pl.when(~pl.col(f"unknown.{name.replace(VALUE, 'part.', 1)}")).then(name).alias(name) for name in values),
        *more,
    )


def _refusals(known: pl.DataFrame, in_order: pl.DataFrame) -> pl.DataFrame:
    """The subjects of these rows of which Customer.io refuses some content: `hi`, `lo` and the columns of REFUSAL."""
    accepted, refused = (pl.col("outcome") == name for name in ("accepted", "refused"))
    before = known.filter(pl.col("refused").is_not_null()).select(*SUBJECT, *REFUSAL)
    about = pl.concat([before.select(SUBJECT), in_order.filter(refused).select(SUBJECT)]).unique()
    ended = in_order.join(about, on=SUBJECT, how="semi", maintain_order="left")
    subjects = ended.group_by(*SUBJECT, maintain_order=True).agg(
        pl.col("content").filter(accepted).alias("taken"),
        pl.col("content").filter(refused).alias("not_taken"),
        *(pl.col(name).filter(refused).drop_nulls().last().alias(f"now.{name}") for name in ("reason", "field")),
    )
    still_refused = (
        pl.concat_list(pl.col("refused").fill_null(pl.lit([], dtype=pl.List(pl.UInt64))), "not_taken")
        .list.unique(maintain_order=True)
        .list.set_difference("taken")
        .list.tail(REFUSED_AT_MOST)
    )
    return (
        subjects.join(before, on=SUBJECT, how="left")
        .with_columns(still_refused.alias("refused"))
        .filter(pl.col("refused").list.len() > 0)
        .select(*SUBJECT, "refused", *(pl.coalesce(f"now.{name}", name).alias(name) for name in ("reason", "field")))
    )
