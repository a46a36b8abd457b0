"""CSV files: every value is text."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from cio_etl.errors import did_you_mean
from cio_etl.model.records import dataclass
from cio_etl.model.sources.source import Encoding, FileSource, SourceKeys, SourcePaths, encoding_key, hive_key, kind_key
from cio_etl.model.sources.storage import StorageYaml, storage_key, to_storage
from cio_etl.model.yaml_section import SHOWN_DEFAULT, Count, Flag, Names, as_list, omitted, wrong

# Settings of tools that write CSV, as the fields of CsvSource that differ from its defaults.
CSV_DIALECTS: dict[str, dict[str, Any]] = {
    "excel": {},
    "excel-semicolon": {"separator": ";"},  # Excel where the decimal sign is a comma
    "tab": {"separator": "\t"},
    "tab-unquoted": {"separator": "\t", "quote": None},  # text/tab-separated-values
    "pipe": {"separator": "|"},
    "mysql": {"separator": "\t", "quote": None, "escape": "\\", "null_values": ()},  # SELECT … INTO OUTFILE
    "postgresql": {},  # COPY … WITH (FORMAT csv, HEADER)
    "postgresql-text": {"separator": "\t", "quote": None, "escape": "\\", "null_values": ()},  # COPY … by itself
    "redshift": {"separator": "|", "quote": None, "escape": "\\"},  # UNLOAD … ESCAPE
    "hive": {"separator": "\x01", "quote": None, "null_values": ("\\N",)},  # a text table without ESCAPED BY
}


@dataclass(frozen=True, slots=True)
class CsvSource(FileSource):
    """CSV files: text only, no inference."""

    separator: str = ","
    encoding: str = "utf-8"
    quote: str | None = '"'
    null_values: tuple[str, ...] = ("",)
    escape: str | None = None  # before a sign: the sign itself; before n, t, r, 0, b, f, v, Z, N: as in MySQL
    columns: tuple[str, ...] = ()  # the names, for files without a header line
    skip_lines: int = 0  # above the header
    comment: str | None = None  # a line that begins with it is no row


def _one_sign(text: str) -> str:
    if len(text) != 1 or not text.isascii() or text in "\r\n\0":
        raise wrong('must be one ASCII character, as ";" or "\\t"')
    return text


def _dialect(name: str) -> str:
    if name not in CSV_DIALECTS:
        raise wrong(f"no dialect of that name; {did_you_mean(name, CSV_DIALECTS)}")
    return name


_Sign = Annotated[str, AfterValidator(_one_sign), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 1})]


class CsvKeys(SourceKeys):
    """The YAML keys of CSV files as a source."""

    not_offered: ClassVar = dict.fromkeys(("delimiter", "sep"), "written separator:")

    csv: SourcePaths = kind_key(
        "a path, a pattern such as `exports/*.csv`, or a list of them. Files are read in the order of their names; "
        "gzip and zstd are unpacked"
    )
    dialect: Annotated[str, AfterValidator(_dialect), WithJsonSchema({"enum": [*CSV_DIALECTS]})] = omitted(
        "of CSV: the settings of the tool that wrote the file, by its name. Settings that you write here as well take "
        "precedence. See Other files."
    )
    separator: _Sign = Field(",", description='of CSV: one ASCII character, as `";"` or `"\\t"`')
    encoding: Encoding = encoding_key()
    quote: _Sign | None = Field('"', description="of CSV: one ASCII character; `null`: quotes have no meaning")
    escape: _Sign = omitted(
        'of CSV: one ASCII character, after which the next character is plain text, as `"\\\\"` in the files of MySQL '
        "and Hive"
    )
    null_values: Annotated[list[str], BeforeValidator(as_list)] = Field(
        default=[""],
        description="of CSV: the texts that mean null, in quotes or not. With `[]` an empty field is an empty text",
        json_schema_extra={SHOWN_DEFAULT: '`[""]`'},
    )
    columns: Names = omitted("of CSV: the names of the columns, for files without a header line", "the first line")
    skip_lines: Count = Field(0, description="of CSV: how many lines above the header are left out, as titles")
    comment: _Sign = omitted('of CSV: one ASCII character; a line that begins with it is left out, as `"#"`')
    hive: Flag = hive_key()
    storage: StorageYaml = storage_key()

    def faults(self) -> Iterator[str]:
        if self.quote == self.separator:
            yield "separator and quote are the same sign"
        if self.comment is not None and self.comment in (self.separator, self.quote):
            yield "comment is also the separator or the quote"

    def to_source(self) -> CsvSource:
        """The dialect's settings, and over them those that are written."""
        written = {
            "separator": self.separator,
            "quote": self.quote,
            "escape": self.escape,
            "null_values": tuple(self.null_values),
        }
        chosen = {name: value for name, value in written.items() if name in self.model_fields_set}
        settings = {**CSV_DIALECTS.get(self.dialect or "", {}), **chosen}
        return CsvSource(
            tuple(self.csv),
            encoding=self.encoding,
            columns=tuple(self.columns or ()),
            skip_lines=self.skip_lines,
            comment=self.comment,
            hive=self.hive,
            storage=to_storage(self.storage),
            **settings,
        )
