"""The subject of an item and its parts, as hashes: what the ledger compares with what was sent before.

A subject is whom or what an item is about: a person, an object, a relationship, a device, a membership, an event. A
part is what can change by itself: an attribute, or another member of the item. Each part is hashed as the JSON text in
which it is sent, so a change that does not change what is sent changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from cio_etl.apis import KEY, OPERATIONS
from cio_etl.model import POSITION, Constant, Mapping
from cio_etl.model.records import dataclass
from cio_etl.transform import encode, ids, repeats
from cio_etl.transform.encode import Node

DIVISIBLE = frozenset({"identify", "identify_object", "identify_object_anonymous"})  # their parts change one by one


@dataclass(frozen=True, slots=True)
class Parts:
    """What a mapping's items are about, and their parts by name."""

    subject: tuple[str, ...]  # targets; `_digest` for an event
    of: dict[str, Node]
    clears: frozenset[str] = frozenset()  # parts of which a null is sent; one of the others is no change
    alternatives: tuple[str, ...] = ()  # identifiers among `subject`, of which a row has one

    @property
    def alone(self) -> tuple[str, ...]:
        """The parts of which the last value counts: not relationships, which add up."""
        return tuple(name for name in self.of if not name.endswith("]"))

    def subject_hash(self, salt: int) -> list[pl.Expr]:
        """The halves of the subject, two UInt64, over the mapped values; null in a row that has none."""
        return ids.subject(self._subject_texts(), salt)

    def subject_in_memory(self) -> pl.Expr:
        """A hash of the subject that costs less, UInt64; in another process it may differ."""
        texts = self._subject_texts()
        together = texts[0] if len(texts) == 1 else pl.struct(texts)  # the hash of a struct costs three times as much
        return pl.when(pl.all_horizontal(text.is_not_null() for text in texts)).then(together.hash())

    def _subject_texts(self) -> list[pl.Expr]:
        texts = [repeats.key_text(target) for target in self.subject]
        return _with_one(self.subject, texts, self.alternatives)

    def hashes(
        self, values: pl.DataFrame, items: pl.DataFrame, salt: int, *, with_keys: bool, texts: Sequence[str] = ()
    ) -> pl.DataFrame:
        """The rows' subjects and parts: POSITION, lane, is_sent Boolean, `hi`, `lo` and `part.<name>` UInt64.

        It has every row of `values`; a subject is null in a row that has none, or of which it is rejected, and a part
        where it is null and omitted. With keys, `key.<target>` String are the texts that say who the subject is. Of
        the parts named in `texts`, `value.<name>` String is the text.
        """
        hi, lo = self.subject_hash(salt)
        parts = [ids.text_hash(self._text(name, values), salt).alias(f"part.{name}") for name in self.of]
        keys = [repeats.key_text(name).alias(f"{KEY}{name}") for name in self.subject if with_keys]
        of_parts = [self._text(name, values).alias(f"value.{name}") for name in texts]
        hashed = values.select(POSITION, hi.alias("hi"), lo.alias("lo"), *parts, *keys, *of_parts)
        if items.height > values.height:  # both are in order of position
            items = items.filter(pl.col("position").is_in(values[POSITION].implode()))
        hashed = hashed.hstack(items.select("lane", pl.col("item").is_not_null().alias("is_sent")))
        if items["field"].null_count() == items.height:
            return hashed
        is_unfit = pl.lit(
            items.select(pl.col("field").is_in([*self.subject, "identifiers"]).fill_null(False)).to_series()
        )
        return hashed.with_columns(pl.when(~is_unfit).then(name).alias(name) for name in ("hi", "lo"))

    def _text(self, name: str, values: pl.DataFrame) -> pl.Expr:
        text = encode.text(self.of[name], values)
        if name not in self.clears:
            return text
        omitted = encode.is_omitted(self.of[name], values)
        return text.fill_null("null") if omitted is None else pl.when(~omitted).then(text.fill_null("null"))


def parts_of(mapping: Mapping, nodes: dict[str, Node]) -> Parts:
    """The subject and the parts of a mapping's items; `nodes` are payloads.nodes_of."""
    if OPERATIONS[mapping.operation].has_event:
        return Parts(("_digest",), {name: node for name, node in nodes.items() if name not in ("event", "event_id")})
    divisible, keys = mapping.operation in DIVISIBLE, subject_targets(mapping)

    def is_part(name: str) -> bool:
        if divisible:
            return name.startswith(("attributes.", "topics.")) or name.endswith("]")  # ]: a relationship, whole
        return name not in keys and not name.endswith("]")

    subject = tuple(target for target in keys if not isinstance(mapping.targets[target], Constant))
    of = {name: node for name, node in nodes.items() if is_part(name)}
    clears = frozenset(name for name in of if _CLEARED.match(name) and mapping.nulls_at(name) == "clear")
    return Parts(subject, of, clears, mapping.alternatives)


def _with_one(subject: Sequence[str], texts: Sequence[pl.Expr], alternatives: Sequence[str]) -> list[pl.Expr]:
    """The texts of a subject; of alternatives, those that a row has not are empty, and null where it has none of them.

    So somebody by id and somebody by e-mail are two subjects, and a subject does not depend on the columns that are not
    read for it.
    """
    if not alternatives:
        return list(texts)
    nobody = pl.all_horizontal(pl.col(target).is_null() for target in alternatives)
    one = {target: pl.when(~nobody).then(text.fill_null("")) for target, text in zip(subject, texts, strict=True)}
    return [one[name] if name in alternatives else text for name, text in zip(subject, texts, strict=True)]


# Devices and their attributes are never cleared, and a relationship with nobody is omitted.
_CLEARED = re.compile(r"(attributes|topics|relationships\[\d+\]\.attributes)\.")


def subject_targets(mapping: Mapping) -> tuple[str, ...]:
    """The targets of a mapping that say whom or what its items are about, constants among them."""
    about = ["identifiers.", "object.", "device.token", "event_id"]
    about += [] if mapping.operation in DIVISIBLE else [f"{end}." for end in mapping.relationship_ends()]
    return tuple(target for target in mapping.targets if target.startswith(tuple(about)))
