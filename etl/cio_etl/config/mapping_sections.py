"""The keys of a mapping file, and the Mapping that they become."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, create_model

from cio_etl.apis import APIS, OPERATION, Api, main_operation
from cio_etl.config.expect_sections import ExpectYaml, condition
from cio_etl.config.other_columns import PLACE as PLACE_OF_STAR
from cio_etl.config.other_columns import OtherColumnsYaml
from cio_etl.config.value_sections import (
    Attributes,
    AttributeYaml,
    DeviceYaml,
    FunctionCall,
    IdentifiersYaml,
    Names,
    ObjectYaml,
    OnError,
    OperationYaml,
    PersonYaml,
    RelationshipYaml,
    ValueYaml,
    values_in,
)
from cio_etl.config.yaml_file import Document, place_of
from cio_etl.model import ENTRY, REASONS, Constant, Example, Mapping, Nulls
from cio_etl.model.yaml_section import SHOWN_DEFAULT, Section, Text, omitted, wrong


def _true(raw: object) -> bool:
    if raw is True:
        return True
    raise wrong("must be true, or left out")


def _payload(raw: object) -> object:
    if isinstance(raw, (dict, str)):
        return raw
    raise wrong("must be keys with values, as `key: value`; of a segment, an identifier as text")


def _topic(name: str) -> str:
    if name.isascii() and name.isdigit():
        return name
    raise wrong("a topic is named by its number in the subscription centre, as 3")


def _segment(raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool) and raw > 0:
        return raw
    raise wrong("the number of a manual segment, as 7")


EXAMPLE_KEYS = tuple(api.example_key for api in APIS.values())


def _payload_of(api: Api) -> Any:
    """The field of the payload for one API; it is text where the API takes an identifier alone."""
    description = f"what is sent for the row with `api: {api.name}`"
    if all(payload.whole is None for payload in api.payloads.values()):
        return dict[str, Any], omitted(description)
    text = PlainValidator(_payload, json_schema_input_type=dict[str, Any] | str)
    return Annotated[dict[str, Any] | str, text], omitted(f"{description}; of a segment, the identifier")


class _ResultKeys(Section):
    rejected: Annotated[Text, WithJsonSchema({"enum": sorted(REASONS)})] = omitted(
        "the row is rejected, for this reason"
    )
    skipped: Annotated[bool, PlainValidator(_true, json_schema_input_type=Literal[True])] = omitted(
        "`true`: the row is skipped by `when`"
    )


if TYPE_CHECKING:
    _ResultFields = _ResultKeys
else:
    _ResultFields = create_model(
        "_ResultFields", __base__=_ResultKeys, **{api.example_key: _payload_of(api) for api in APIS.values()}
    )


class ResultYaml(_ResultFields):
    """The expected result of a row."""

    one_of: ClassVar[tuple[str | tuple[str, ...], ...]] = (EXAMPLE_KEYS, "rejected", "skipped")

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        sent, others = written & {*EXAMPLE_KEYS}, written & {"rejected", "skipped"}
        if (len(others) != 1) if not sent else others:
            yield "an example has one result: payload: {…}, rejected: reason, or skipped: true"

    def payloads(self) -> dict[str, Any]:
        """What each API is sent, by the API's name."""
        payloads = {api.name: getattr(self, api.example_key) for api in APIS.values()}
        return {name: payload for name, payload in payloads.items() if payload is not None}


class ExampleYaml(ResultYaml):
    """A row, and its expected result."""

    row: dict[str, Any] = Field(
        description="a row of the source: every column that the mapping uses, with its value or null"
    )


# The keys that contain values, in the order of the targets: of several faults of a row, the first is its reason.
_PARTS = (
    "identifiers",
    "event",
    "event_id",
    "timestamp",
    "object",
    "primary",
    "secondary",
    "device",
    "relationships",
    "topics",
    "attributes",
)


class MappingYaml(Section):
    """A mapping file."""

    not_offered: ClassVar = {
        **dict.fromkeys(("traits", "properties"), "write attributes:, whatever the API calls them"),
        **dict.fromkeys(("type", "action"), "both are written as operation:, as identify or track"),
        **dict.fromkeys(
            ("user_id", "userId", "anonymousId"), "the person is written under identifiers:, as {id: column}"
        ),
        "filter": "rows are skipped by when:",
    }

    operation: OperationYaml = Field(
        description="what Customer.io does with each row, as `identify` or `track`; or a column that says it: "
        "`{column: op, map: {I: identify, U: identify, D: delete}}`. See Change records."
    )
    identifiers: PersonYaml = omitted(
        "the person: exactly one of `id`, `email`, `phone`, `cio_id`; for an event also `anonymous_id`. The kind is "
        "written, never guessed from the value. It is sent as text, unless the last function is `{cast: integer}`. "
        "Or `{first: [{id: user_id}, {email: mail}]}`, the first that a row has"
    )
    event: ValueYaml = omitted(
        "the name of the event: `{value: order_placed}`, or a column; of a page or screen view, its name"
    )
    timestamp: ValueYaml = omitted(
        'when it happened, in Unix seconds. Without this key, the time of an event is "now". With `identify`, '
        "Customer.io silently ignores a change that is older than the last one"
    )
    event_key: Names = Field(
        default=[],
        description="of events: the columns that identify an event, as `[order_id]`; its id is made from them",
        json_schema_extra={SHOWN_DEFAULT: "file content and row number"},
    )
    event_id: ValueYaml = omitted(
        "of events, instead of `event_key`: the column of the id that an event has in its source, so that it counts "
        "once, whoever sends it. See Own ids of events.",
    )
    visitor_events: Literal["single", "batch"] = Field(
        "single",
        description="of events with an `anonymous_id`, through the Track API: `single` sends one a request, `batch` "
        "sends them in batches. See Events of visitors.",
    )
    order_by: Names = Field(
        default=[],
        description="of `identify` and `identify_object`: the columns that show which of a person's rows is newest, "
        "as `updated_at` or `[updated_at, version]`. See Rows of one key.",
        json_schema_extra={SHOWN_DEFAULT: "every row is sent"},
    )
    attributes: Attributes = Field(
        default={},
        description='names and values; `"*"` takes all other columns of the source. See All other columns.',
    )
    existing_only: bool = Field(False, description="`true`: only people who exist in Customer.io are changed")
    topics: dict[Annotated[str, AfterValidator(_topic)], ValueYaml] = Field(
        default={},
        description="the topics of the subscription centre, by number: `{1: newsletter}`, a column of true and false. "
        "Other topics do not change",
    )
    object: ObjectYaml = omitted("the object: `{type: 1, id: company_id}`, or `{cio_object_id: column}`")
    relationships: Annotated[list[RelationshipYaml], Field(min_length=1)] = Field(
        default=[],
        description="a list of relationships: `{object: {type: 1, id: company_id}}` of a person, "
        "`{person: {id: user_id}}` of an object, each with optional `attributes`. A relationship whose other end is "
        "null is not sent",
    )
    device: DeviceYaml = omitted("`token`, `platform` (ios or android), `last_used`, `attributes` (texts)")
    primary: IdentifiersYaml = omitted("of a merge: the person who stays, by `id`, `email` or `cio_id`")
    secondary: IdentifiersYaml = omitted("of a merge: the person who is merged into `primary` and deleted")
    segment: Annotated[int, PlainValidator(_segment, json_schema_input_type=Annotated[int, Field(ge=1)])] = omitted(
        "the number of a manual segment, as `7`"
    )
    retry_unknown: bool = Field(False, description="`true`: a merge or deletion is sent again when its answer was lost")
    nulls: Nulls = Field(
        "omit",
        description="what happens with a null: `omit` does not change the attribute, `clear` sends null, which removes "
        "the attribute",
    )
    on_error: OnError = Field(
        "reject",
        description="what happens when the value of an attribute cannot be converted or sent: `reject` rejects the "
        "row, `omit` sends the row without the attribute, `null` sends null, which removes the attribute, `{value: "
        "unknown}` sends a constant. See Values that cannot be sent.",
    )
    explode: Text = omitted(
        "a column or path that holds lists, as `items`: each entry of a list is a row, with the other columns of its "
        "row; `items.sku` reads the entry. See Rows of lists.",
        "a row is a row of the source",
    )
    when: Annotated[str, AfterValidator(condition)] = omitted(
        "a condition in SQL; rows for which it is not true are skipped", "every row"
    )
    allow_reserved: Names = Field(default=[], description="reserved names that this mapping uses on purpose")
    extends: Text = omitted(
        "a mapping file from which this one inherits, as `base.yaml`; the path starts at this file's folder. See Less "
        "to write."
    )
    vars: dict[str, str | float | bool] = Field(
        default={}, description="variables: names with texts, numbers, true or false; `${vars.name}` reads one"
    )
    define: dict[str, list[FunctionCall] | AttributeYaml] = Field(
        default={},
        description="named lists of functions, as `{clean: [trim, lower]}`, and named values, as `{plan: {column: "
        "plan_name}}`; `{use: name}` stands for one. See Less to write.",
    )
    expect: list[ExpectYaml] = Field(
        default=[],
        description="what is expected of the rows of the source, as `[{not_null: email}]`: tested over all rows before "
        "the first is sent. See Expectations.",
    )
    examples: list[ExampleYaml] = Field(
        default=[],
        description="rows with their expected result: `payload`, `rejected: reason` or `skipped: true`. "
        "`cio-etl check` tests them",
    )

    def _on_error(self, target: str, attribute: AttributeYaml) -> Any:
        """What applies to an attribute: `reject`, `omit`, or a Constant. A device's are texts, and never null."""
        if attribute.on_error is not None:
            return attribute.on_error
        is_text = isinstance(self.on_error, Constant) and isinstance(self.on_error.value, str)
        if target.startswith("device.") and self.on_error != "reject" and not is_text:
            return "omit"
        return self.on_error

    def _event_key(self) -> tuple[str, ...]:
        """The columns of the key. Entries of a list that it cannot tell apart differ by their places."""
        of_entry = self.explode is not None and any(
            name == ENTRY or name == self.explode or name.startswith((f"{self.explode}.", f"{self.explode}["))
            for name in self.event_key
        )
        places = () if not self.event_key or self.explode is None or of_entry else (ENTRY,)
        return (*self.event_key, *places)

    def _when(self) -> str | None:
        """The condition; a row of the source without entries is skipped."""
        conditions = [] if self.explode is None else [f'"{ENTRY}" is not null']
        conditions += [] if self.when is None else [f"({self.when})" if conditions else self.when]
        return " and ".join(conditions) or None

    def to_mapping(self, document: Document, others: OtherColumnsYaml | None = None) -> Mapping:
        people = self.identifiers.values() if self.identifiers else {}
        values = {target: value for target, (_, value) in people.items()}
        values |= dict(value for part in _PARTS[1:] for value in values_in(getattr(self, part), part))
        targets = {target: value.to_value() for target, value in values.items()}
        if operations := self.operation.operations:
            targets = {OPERATION: self.operation.to_value(), **targets}
        attributes = {
            target: value
            for target, value in values.items()
            if isinstance(value, AttributeYaml) and not isinstance(targets[target], Constant)
        }
        on_error = {target: self._on_error(target, value) for target, value in attributes.items()}
        places = {target: place_of(people[target][0] if target in people else target) for target in targets}
        places |= {name: (name,) for name in ("event_key", "order_by", "explode", "when")}
        if others is not None:
            places["attributes.*"] = PLACE_OF_STAR
        return Mapping(
            file=document.file,
            operation=main_operation(self.operation.names),
            operations=operations,
            targets=targets,
            event_key=self._event_key(),
            order_by=tuple(self.order_by),
            nulls=self.nulls,
            nulls_of={
                target: value.nulls
                for target, value in attributes.items()
                if value.nulls is not None and value.nulls != self.nulls
            },
            on_error={
                target: None if instead == "omit" else instead
                for target, instead in on_error.items()
                if instead != "reject"
            },
            explode=self.explode,
            when=self._when(),
            allow_reserved=tuple(self.allow_reserved),
            examples=tuple(
                Example(
                    example.row,
                    example.payloads(),
                    example.rejected,
                    bool(example.skipped),
                    document.line(("examples", n)),
                )
                for n, example in enumerate(self.examples)
            ),
            expect=tuple(
                one
                for place, each in enumerate(self.expect)
                for one in each.to_expectations(document, ("expect", place))
            ),
            segment=self.segment,
            existing_only=self.existing_only,
            visitors_in_batches=self.visitor_events == "batch",
            retry_unknown=self.retry_unknown,
            other_columns=None if others is None else others.to_other_columns(self.on_error, self.nulls),
            places={path: document.place(place) for path, place in places.items() if document.line(place) is not None},
        )
