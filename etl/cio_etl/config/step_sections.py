"""The keys of a step of a job, and the records that they become."""

from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, model_validator

from cio_etl.apis import OPERATIONS
from cio_etl.config.expect_sections import ExpectYaml, WrittenLimit, limit_of
from cio_etl.config.short_values import PlainName, checked_duration
from cio_etl.config.source_sections import SourceYaml
from cio_etl.config.yaml_file import Document, Loc
from cio_etl.model import LedgerContent, Limit, Mapping, Step, Sync, SyncMode, WhenGone
from cio_etl.model.yaml_section import SHOWN_DEFAULT, LocalPaths, Section, Text, omitted, wrong


def _full_refresh_every(raw: object) -> timedelta:
    if (every := checked_duration(raw)) < timedelta(hours=1):
        raise wrong("must be an hour or more, as 30 days")
    return every


def _remember(raw: object) -> timedelta:
    if (remember := checked_duration(raw)) < timedelta(days=4):
        raise wrong("must be four days or more, as 400 days: younger events can start campaigns")
    return remember


def _when_gone(raw: object) -> WhenGone:
    if raw in ("delete", "suppress", "unset"):
        return WhenGone(str(raw))
    if isinstance(raw, dict) and raw.keys() == {"set"} and isinstance(raw["set"], dict) and raw["set"]:
        return WhenGone("set", raw["set"])
    raise wrong("must be delete, suppress, unset, or {set: {attribute: value}}")


class AttributesToSet(Section):
    """The attributes that somebody who is gone gets."""

    set: dict[str, Any] = Field(description="each attribute with its value")


_WhenGoneKeys = Literal["delete", "suppress", "unset"] | AttributesToSet
_OneLimit = Annotated[Limit | None, PlainValidator(limit_of, json_schema_input_type=WrittenLimit)]


class LimitsYaml(Section):
    """How much of a step's ledger may change at once."""

    new: _OneLimit = omitted("subjects that the ledger does not know")
    changed: _OneLimit = omitted("subjects with a change")
    unset: _OneLimit = omitted("subjects of which one attribute becomes null")
    events_of_72h: _OneLimit = omitted("events of the last 72 hours, which can start campaigns")

    def to_limits(self) -> dict[str, Limit]:
        return {name: limit for name in LimitsYaml.model_fields if (limit := getattr(self, name)) is not None}


class LedgerYaml(Section):
    """What a step's ledger stores, and under which name."""

    content: LedgerContent = Field("hashes", description="what it stores of each attribute: `hashes` or `values`")
    name: PlainName | None = omitted("its name in the state", "that of the step")


def _ledger(raw: object) -> LedgerYaml:
    if isinstance(raw, LedgerYaml):
        return raw
    if isinstance(raw, dict):
        return LedgerYaml.model_validate(raw)
    if raw not in ("hashes", "values"):
        raise wrong("must be hashes, values, or {name: …} of the ledger of a step that was renamed")
    return LedgerYaml(content=raw, name=None)


class StepYaml(Section):
    """One source through one mapping or several."""

    name: PlainName = Field(description="the name of the step in reports and for `--step`")
    source: SourceYaml = Field(description="where the rows come from")
    mapping: LocalPaths = Field(
        description="a mapping file, or a list of them. A list makes one step per mapping, in this order, each over "
        "the whole source; their names are `step/mapping`"
    )

    sync: SyncMode = Field(
        "all",
        description="`all`: every row is sent each time. `changed`: only what Customer.io has not acknowledged yet. "
        "`mirror`: that, and who is gone from the source is removed. See Send only what changed.",
    )
    when_gone: Annotated[WhenGone | None, PlainValidator(_when_gone, json_schema_input_type=_WhenGoneKeys)] = omitted(
        "with `sync: mirror`, what happens to people and objects that the source no longer has: `delete`; for people "
        "also `suppress`; `unset`, the mapping's attributes become null; or `{set: {churned: true}}`. Relationships, "
        "devices and memberships are ended",
        "required for people and objects",
    )
    max_gone: Annotated[Limit, PlainValidator(limit_of, json_schema_input_type=WrittenLimit)] = Field(
        Limit(share=0.01),
        description="with `sync: mirror`, how much of the ledger may be gone at once: a share, as `1%`, or a number. "
        "One more, and the run stops with exit code 4 before it sends anything; a source without rows removes nobody",
        json_schema_extra={SHOWN_DEFAULT: "`1%`"},
    )
    scope: Annotated[list[Text], Field(min_length=1)] = omitted(
        "with `sync: mirror`, columns of the source, as `[store_id]`: somebody can be gone only if the source has "
        "other rows with the values that their last row had, so the file of one store removes nobody of another",
        "none: the source has everybody",
    )
    limits: LimitsYaml = Field(
        LimitsYaml.model_construct(),  # builds no section yet
        description="with a `sync` other than `all`, how much may change at once: `new`, `changed`, `unset` and, of "
        "events, `events_of_72h`, each a share of the ledger or a number. One more, and the run stops with exit code 4 "
        "before it sends anything",
        json_schema_extra={SHOWN_DEFAULT: "none"},
    )

    ledger: Annotated[LedgerYaml, PlainValidator(_ledger, json_schema_input_type=LedgerContent | LedgerYaml)] = Field(
        LedgerYaml.model_construct(content="hashes", name=None),
        description="with a `sync` other than `all`, what the ledger stores of each attribute: `hashes`, which say "
        "whether it has changed; or `values`, which `plan` needs to show what changes into what. A step that was "
        "renamed keeps its ledger with `{name: OLD NAME}`, and with `{name: OLD NAME, content: values}` its values",
        json_schema_extra={SHOWN_DEFAULT: "`hashes`"},
    )
    full_refresh_every: Annotated[timedelta, PlainValidator(_full_refresh_every, json_schema_input_type=str)] = omitted(
        "with a `sync` other than `all`, how often everything is sent again, as `30 days`: if that was longer ago, the "
        "next run sends every row of the step, as with `--full-refresh`. It repairs what others have changed in "
        "Customer.io"
    )

    remember: Annotated[timedelta, PlainValidator(_remember, json_schema_input_type=str)] = omitted(
        "of events with `sync: changed`, how long the ledger remembers what was sent, as `400 days`: events whose "
        "`timestamp` is older are neither sent nor compared",
        "for ever",
    )

    expect: list[ExpectYaml] = Field(
        default=[],
        description="what is expected of the rows of the source, beside what the mapping expects, as `[{row_count: "
        "{min: 1000}}]`: tested over all rows before the first is sent. See Expectations.",
    )

    @model_validator(mode="after")
    def _needs_a_ledger(self) -> Self:
        of_mirrors = [name for name in ("when_gone", "max_gone", "scope") if name in self.model_fields_set]
        if of_mirrors and self.sync != "mirror":
            raise wrong(f"{' and '.join(of_mirrors)} only with `sync: mirror`; write that, or leave it out")
        for name in ("limits", "ledger"):
            if name in self.model_fields_set and self.sync == "all":
                raise wrong(f"{name} only with `sync: changed` or `sync: mirror`; write one, or leave {name} out")
        return self

    def to_sync(self, mapping: Mapping, name: str | None) -> Sync:
        """What one of the step's mappings sends; what becomes of who is gone is as an operation with its attributes.

        `name` is that of its ledger; None: the step's.
        """
        when_gone = self.when_gone
        attributes = mapping.part("attributes")
        if when_gone is None and (inverse := OPERATIONS[mapping.operation].inverse) is not None:
            when_gone = WhenGone(inverse)
        elif when_gone is not None and when_gone.operation in ("unset", "set"):
            changed = dict.fromkeys(attributes) if when_gone.operation == "unset" else when_gone.attributes
            when_gone = WhenGone("identify_object" if "object" in mapping.operation else "identify", changed)
        elif when_gone is not None and when_gone.operation == "delete" and "object" in mapping.operation:
            when_gone = WhenGone("delete_object")
        return Sync(
            self.sync,
            when_gone,
            self.max_gone,
            tuple(self.scope or ()),
            self.limits.to_limits(),
            self.full_refresh_every,
            self.ledger.content,
            name,
            self.remember,
        )

    def to_steps(self, listed: bool, mappings: MappingOf[str, Mapping], document: Document, loc: Loc) -> Iterator[Step]:
        expected = tuple(
            one
            for place, each in enumerate(self.expect)
            for one in each.to_expectations(document, (*loc, "expect", place))
        )
        for path in self.mapping:
            inner = f"/{Path(path).stem}" if listed else ""
            ledger = None if self.ledger.name is None else self.ledger.name + inner
            sync = self.to_sync(mappings[path], ledger)
            yield Step(self.name + inner, self.source.to_source(), mappings[path], sync, expected)
