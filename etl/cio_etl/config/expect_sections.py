"""The keys of `expect`, and the expectations that they become."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from cio_etl.config.short_values import Share, checked_duration, is_count, share_of
from cio_etl.config.yaml_file import Document, Loc, dotted
from cio_etl.model.expectations import Check, Expectation, Limit
from cio_etl.model.yaml_section import SHOWN_DEFAULT, Count, Names, Section, Text, from_reference, omitted, wrong


def limit_of(raw: object) -> Limit:
    """The limit that a share such as `1%`, or a whole number, means."""
    if (share := share_of(raw)) is not None:
        return Limit(share=share)
    if is_count(number := from_reference(raw)):
        return Limit(number=number)
    raise wrong("must be a share, as 1%, or a whole number")


def condition(sql: str) -> str:
    """The SQL, which must be a condition over one row."""
    from cio_etl.transform.row_sql import check_condition

    try:
        check_condition(sql)
    except ValueError as error:
        raise wrong(str(error)) from None
    return sql.strip()


def _pattern(pattern: str) -> str:
    from cio_etl.transform.functions.patterns import groups_of

    try:
        groups_of(pattern)
    except ValueError as error:
        raise wrong(str(error).removeprefix("'pattern' ")) from None
    return pattern


def _format(text: str) -> str:
    from cio_etl.transform.timestamps import as_format

    try:
        as_format(text)
    except ValueError as error:
        raise wrong(str(error)) from None
    return text


def _zone(name: str) -> str:
    from cio_etl.transform.timestamps import is_zone

    if not is_zone(name):
        raise wrong("no such time zone; use a name such as Europe/Paris or UTC")
    return name


WrittenLimit = Annotated[int, Field(ge=0)] | Share
_Column = Annotated[Text, Field(description="a column of the source")]


class _OfColumnYaml(Section):
    """The arguments of a test of one column: keys such as `column` that have other meanings elsewhere."""

    is_home: ClassVar[bool] = False


class AcceptedValuesYaml(_OfColumnYaml):
    """The values that a column may have."""

    column: _Column
    values: Annotated[list[Any], Field(min_length=1)] = Field(description="the values: text, numbers, true and false")

    @model_validator(mode="after")
    def _plain(self) -> Self:
        if any(value is None or isinstance(value, dict | list) for value in self.values):
            raise wrong("values are text, numbers, true or false; null is always accepted, see not_null")
        return self


class _BoundsYaml(_OfColumnYaml):
    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        if not written & {"min", "max"}:
            yield "write min:, max: or both"

    def _check_order(self, least: float | str | None, most: float | str | None) -> None:
        if least is None or most is None:
            return
        if isinstance(least, str) or isinstance(most, str):
            if not (isinstance(least, str) and isinstance(most, str)):
                raise wrong("one bound is a number and the other is text; write both alike")
            if least > most:
                raise wrong("min: is later than max:, so no value is in the range; exchange them")
        elif least > most:
            raise wrong("min: is greater than max:, so no value is in the range; exchange them")


class RangeYaml(_BoundsYaml):
    """The least and the greatest value of a column, both included."""

    column: _Column
    min: float | int | Text = omitted("the least value: a number, or a date as `2020-01-31`")
    max: float | int | Text = omitted("the greatest value")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        self._check_order(self.min, self.max)
        return self


class RegexYaml(_OfColumnYaml):
    """The pattern of the texts of a column."""

    column: _Column
    pattern: Annotated[Text, AfterValidator(_pattern)] = Field(
        description="a pattern of Rust's `regex`, which the whole text must match"
    )


class RowCountYaml(_BoundsYaml):
    """How many rows the source has."""

    min: Count = omitted("the least number of rows")
    max: Count = omitted("the greatest number of rows")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        self._check_order(self.min, self.max)
        return self


class FreshnessYaml(_OfColumnYaml):
    """How old the newest row may be."""

    column: _Column
    within: Annotated[timedelta, PlainValidator(checked_duration, json_schema_input_type=str)] = Field(
        description="how old its newest time may be, as `24 hours`"
    )
    format: Annotated[Text, AfterValidator(_format)] = omitted(
        "of text in another form, as in `timestamp`", "ISO 8601; of numbers, counts since 1970"
    )
    timezone: Annotated[Text, AfterValidator(_zone)] = omitted("the zone of times without one", "UTC")


class ExpectYaml(Section):
    """One expectation of the rows of the source."""

    one_of: ClassVar[tuple[str | tuple[str, ...], ...]] = (
        "not_null",
        "unique",
        "accepted_values",
        "range",
        "regex",
        "row_count",
        "freshness",
    )

    not_null: Names = omitted("columns that have a value in every row")
    unique: Names = omitted("a column, or several together, of which no two rows have the same values")
    accepted_values: AcceptedValuesYaml = omitted(
        "the values that a column may have: `{column: plan, values: [free, pro]}`"
    )
    range: RangeYaml = omitted("the least and the greatest value of a column: `{column: age, min: 0, max: 150}`")
    regex: RegexYaml = omitted("the form of a column's texts: `{column: sku, pattern: '[A-Z]{3}-[0-9]+'}`")
    row_count: RowCountYaml = omitted("how many rows there are: `{min: 1000, max: 2000000}`")
    freshness: FreshnessYaml = omitted(
        "how old the newest time of a column may be: `{column: updated_at, within: 24 hours}`"
    )
    where: Annotated[str, AfterValidator(condition)] = omitted(
        "a condition in SQL, as in `when`: only these rows count", "every row of the source"
    )
    allow: Annotated[Limit, PlainValidator(limit_of, json_schema_input_type=WrittenLimit)] = Field(
        Limit(number=0),
        description="how many rows may break it: a share, as `1%`, or a number",
        json_schema_extra={SHOWN_DEFAULT: "`0`"},
    )
    severity: Literal["error", "warn"] = Field(
        "error",
        description="`error`: a run stops with exit code 4 before its first request. `warn`: it is a finding",
    )

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        checks = [name for name in cls.one_of if name in written]
        if len(checks) != 1:
            yield f"an expectation has one of {', '.join(f'{name}:' for name in cls.one_of)}"
        if "allow" in written and written & {"row_count", "freshness"}:
            yield "row_count and freshness are about all rows together; leave allow out"

    def _checks(self) -> Iterator[tuple[Check, tuple[str, ...], dict[str, Any]]]:
        for name in self.not_null or ():
            yield "not_null", (name,), {}
        if self.unique:
            yield "unique", tuple(self.unique), {}
        one: tuple[tuple[Check, Section | None], ...] = (
            ("accepted_values", self.accepted_values),
            ("range", self.range),
            ("regex", self.regex),
            ("row_count", self.row_count),
            ("freshness", self.freshness),
        )
        for check, section in one:
            if section is not None:
                arguments = {name: getattr(section, name) for name in type(section).model_fields}
                column = arguments.pop("column", None)
                yield check, () if column is None else (column,), arguments

    def to_expectations(self, document: Document, loc: Loc) -> Iterator[Expectation]:
        """One for each column, or key of several."""
        place = f"{document.place(loc)}: {dotted(document.origin(loc)[1])}"
        for check, columns, arguments in self._checks():
            yield Expectation(check, columns, arguments, self.where, self.allow, self.severity == "error", place)
