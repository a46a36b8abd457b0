"""What other rooms ask of a source, whatever its kind: where it lies, whether it is copied first, its datasets.

A kind is a module beside this one: a frozen record, derived from Source or FileSource, and the section of YAML that
makes it, derived from SourceKeys. `extract` has the kind's reader.
"""

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from cio_etl.model.records import dataclass
from cio_etl.model.sources.storage import Storage
from cio_etl.model.sources.watermark import Incremental
from cio_etl.model.yaml_section import Section, as_list, local_path, omitted, wrong

STANDARD_INPUT = "-"  # as a path

Dataset = tuple[str, str]  # namespace and name, by OpenLineage's naming rules

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_WEB = ("https", "http")


def is_remote(path: str) -> bool:
    """Whether the path is an address: scheme://…"""
    return _URL.match(path) is not None


def address_parts(path: str) -> tuple[str, str, str] | None:
    """Scheme, authority and the rest of an address; None for a path of this machine."""
    parts = _URL.fullmatch(path)
    return None if parts is None else (parts[1], parts[2], parts[3])


def shown(path: str) -> str:
    """The path as messages may show it: without user, password, query and fragment."""
    parts = address_parts(path)
    if parts is None:
        return path
    scheme, authority, rest = parts
    if scheme.lower() in _WEB or re.search(r"\?.*[=&]", rest):  # a name in a bucket may contain ? and #
        rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    host = authority if scheme.lower().startswith("abfs") else authority.rpartition("@")[2]
    return f"{scheme}://{host}{rest}"


def dataset_of_path(path: str) -> Dataset:
    """The dataset that a file, a pattern or a table's folder is."""
    scheme, is_address, rest = path.partition("://")
    if is_address:
        host, _, key = rest.partition("?")[0].partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}", key
    return "file", str(Path(path).absolute())


# ---------------------------------------------------------------- records


@dataclass(frozen=True, slots=True)
class Source(ABC):
    """Where a step's rows come from."""

    may_be_empty: ClassVar[bool] = False  # True: having no rows is no sign of a failed export
    is_repeatable: ClassVar[bool] = True  # False: reading it again may give other rows, and no fingerprint shows it

    @property
    @abstractmethod
    def place(self) -> str:
        """What messages call the source; without secrets."""

    @property
    def is_staged(self) -> bool:
        """Whether the rows are copied to this machine first, because they cannot be read twice where they are."""
        return True

    @property
    def is_piped(self) -> bool:
        """Whether the rows come from standard input, which another process fills with other rows."""
        return False

    @property
    def lacks_secrets(self) -> bool:
        """Whether the address or the keys were not looked up, so that it cannot be read."""
        return False

    @property
    def asks_for_columns(self) -> bool:
        """Whether it is asked for the mapping's columns by name, so that one missing column fails all of them."""
        return False

    @property
    def incremental(self) -> Incremental | None:
        """How to read only new rows; None: every run reads all rows."""
        return None

    @abstractmethod
    def datasets(self) -> list[Dataset]:
        """The datasets that a lineage record names as inputs."""


@dataclass(frozen=True, slots=True)
class FileSource(Source):
    """Files of one format, here, in an object store or piped in. Paths may be globs; files are read in sorted order."""

    paths: tuple[str, ...]
    hive: bool = field(default=False, kw_only=True)  # folders named key=value are text columns
    storage: Storage | None = field(default=None, kw_only=True)

    @property
    def place(self) -> str:
        return ", ".join(map(shown, self.paths))

    @property
    def is_staged(self) -> bool:
        return self.is_piped or any(map(is_remote, self.paths))

    @property
    def is_piped(self) -> bool:
        return self.paths == (STANDARD_INPUT,)

    @property
    def lacks_secrets(self) -> bool:
        return self.storage is not None and self.storage.lacks_key

    def datasets(self) -> list[Dataset]:
        return [dataset_of_path(path) for path in self.paths]


@dataclass(frozen=True, slots=True)
class LakeSource(Source):
    """A table of a data lake, by its folder here or in an object store."""

    table: str
    storage: Storage | None = field(default=None, kw_only=True)

    is_repeatable: ClassVar[bool] = False  # the table may have a newer version

    @property
    def place(self) -> str:
        return shown(self.table)

    @property
    @abstractmethod
    def asked_version(self) -> int | None:
        """The version that the job names; None: the newest."""

    @property
    def lacks_secrets(self) -> bool:
        return self.storage is not None and self.storage.lacks_key

    def datasets(self) -> list[Dataset]:
        return [dataset_of_path(self.table)]


# ---------------------------------------------------------------- sections of YAML


class SourceKeys(Section, ABC):
    """The keys of one kind of source. The first field is the kind's own key, and names the kind.

    A step's `source:` section has the keys of all kinds; config/source_sections.py puts them together, and refuses
    those of two kinds. A key that several kinds have is one key, described once.
    """

    model_config = ConfigDict(defer_build=True)  # only the fields are used: the values are checked in `source:`

    endings: ClassVar[tuple[str, ...]] = ()  # of the names of files that are of this kind

    @classmethod
    def kind(cls) -> str:
        return next(iter(cls.model_fields))

    def faults(self) -> Iterator[str]:
        """What is wrong with the values together, as messages."""
        yield from ()

    @abstractmethod
    def to_source(self) -> Source:
        """The source that the section describes."""


_REMOTE = re.compile(r"(s3|gs|az|https)://[^/]+/.*", re.IGNORECASE | re.DOTALL)


def _source_path(text: str) -> str:
    if "://" in text and not _REMOTE.match(text):
        raise wrong("must be a path, or a URL of s3://, gs://, az:// or https://, as s3://lake/orders/*.parquet")
    return text if "://" in text else local_path(text)


def _encoding(text: str) -> str:
    try:
        codecs.lookup(text)
        "".encode(text)  # refuses codecs that are not of text, as base64
    except (LookupError, ValueError):
        raise wrong("no such encoding; as utf-8, latin-1, cp1252, utf-16") from None
    return text


SourcePath = Annotated[str, AfterValidator(_source_path)]
SourcePaths = Annotated[list[SourcePath], BeforeValidator(as_list), Field(min_length=1)]
Encoding = Annotated[str, AfterValidator(_encoding)]


def kind_key(description: str) -> Any:
    """The field of a kind's own key."""
    return omitted(description, "one of these")


def hive_key() -> Any:
    """The field of `hive:`, which kinds of files share."""
    return Field(False, description="`true`: folders named `key=value` are columns of text")


def encoding_key() -> Any:
    """The field of `encoding:`, which kinds of text files share."""
    return Field("utf-8", description="of CSV and NDJSON: as `latin-1`, `cp1252` or `utf-16`")
