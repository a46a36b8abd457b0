"""The keys of a file of tests of a mapping."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal

from pydantic import Field

from cio_etl.apis import APIS, DEFAULT_API
from cio_etl.config.mapping_sections import EXAMPLE_KEYS, ResultYaml
from cio_etl.config.source_sections import SourceYaml
from cio_etl.model.yaml_section import LocalPath, Section, Text, omitted

ColumnType = Literal["text", "integer", "number", "decimal", "boolean", "date", "datetime", "datetime_utc", "json"]
RESULT_KEYS = (*EXAMPLE_KEYS, "rejected", "skipped")


class CaseYaml(ResultYaml):
    """Rows, and what must be sent for them. The rows of one test are one source."""

    one_of = ("row", "rows", "source")

    name: Text = omitted("what the test shows", "its place, as `tests[0]`")
    row: dict[str, Any] = omitted("one row: every column that the mapping uses, with its value or null")
    rows: Annotated[list[dict[str, Any]], Field(min_length=1)] = omitted(
        "several rows, in order: `order_by`, `event_key` and the unit of timestamps depend on all of them"
    )
    source: SourceYaml = omitted(
        "a file with rows, written as in a job: `{csv: mappings/tests/monday.csv, separator: ;}`"
    )
    results: list[ResultYaml] = omitted("of `rows` and of a `source`: the expected result of each row, in order")
    snapshot: LocalPath = omitted(
        "a file of NDJSON with the expected results, a line for each row, compared byte for byte; "
        "`cio-etl test --update` writes it"
    )
    api: Annotated[str, Field(json_schema_extra={"enum": [*APIS]})] = Field(
        DEFAULT_API, description="the API whose items a `snapshot` has, and for which rows are rejected or skipped"
    )

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        if len(written & {"row", "rows", "source"}) != 1:
            yield "a test has one of row: {…}, rows: [{…}] and source: {csv: file}"
        inline = written & {*RESULT_KEYS}
        if "row" not in written and inline:
            yield "the results of several rows are written under results:, one for each row"
        if "row" in written and "results" in written:
            yield "the result of one row is written without results:, as payload: {…}"
        if "snapshot" in written and (inline or "results" in written):
            yield "the expected results are written here or in a snapshot; keep one of the two"
        if inline:
            yield from super().key_faults(written)


class MappingTestsYaml(Section):
    """A file of tests of one mapping."""

    mapping: LocalPath = omitted(
        "the mapping that is tested",
        "that of the same name in the folder above: "
        "`customers.yaml`, for the tests `customers.yaml` and `customers.dates.yaml`",
    )
    types: dict[str, ColumnType] = Field(
        default={},
        description="the types of columns, where the values in YAML do not show them: `text`, `integer`, `number`, "
        "`decimal`, `boolean`, `date`, `datetime`, `datetime_utc` (with a zone), `json` (values of several types)",
    )
    tests: Annotated[list[CaseYaml], Field(min_length=1)] = Field(description="the tests, in order")
