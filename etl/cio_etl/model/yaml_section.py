"""The base class of every section of a YAML file, and the types of values that several sections share.

It stands below `config` and `extract`, because both define sections: each source kind brings its own. Import it from
here, not from the room's face: it loads pydantic's models, which many users of `cio_etl.model` do not need.

A module of sections has no `from __future__ import annotations`: pydantic would compile every type from its text, at
each start of a command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A part of a job or a mapping: each field is a YAML key, and its `description` documents the key.

    A description may use Markdown's backticks. It may end with the sentence `See <heading>.`, which names a heading of
    the documentation.

    not_offered: keys that a user of another tool may try, with what to write instead.
    one_of: exactly one of these keys must be written. The keys of an inner tuple may be written together.
    goes_with: a key, and the keys of which at least one must be written with it.
    short_form: what a text means, where a text may be written instead of the section.
    short_schema: the JSON Schema of that text, where it is not any text.
    is_home: whether the section is named to somebody who has written one of its keys in another place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, defer_build=True)

    not_offered: ClassVar[dict[str, str]] = {}
    one_of: ClassVar[tuple[str | tuple[str, ...], ...]] = ()
    goes_with: ClassVar[dict[str, tuple[str, ...]]] = {}
    short_form: ClassVar[str] = ""
    short_schema: ClassVar[dict[str, Any]] = {}
    is_home: ClassVar[bool] = True

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        """What is wrong with the set of keys, as messages. It is reported together with the faults of values."""
        yield from ()


class References(Enum):
    """How the references `${…}` in the text of a key are read; without a mark, each is replaced by its value.

    The mark is a part of the field's type: `sql: Annotated[SecretStr, References.ADDRESS]`.
    """

    SECRET = "the whole text is one reference"  # nosec B105 # a mark
    ADDRESS = "the address of a database; references in its user part are percent-encoded"
    REFUSED = "references are not allowed"


SHOWN_DEFAULT = "x-default"  # the name, in the JSON Schema, of a default that is described in words


def omitted(description: str, default: str = "none") -> Any:
    """The field of a key that may be omitted, but must have a value when it is written.

    The value of an omitted key is None. `default` describes in words what applies then.
    """
    return Field(None, description=description, json_schema_extra={SHOWN_DEFAULT: default})


def wrong(message: str) -> PydanticCustomError:
    """The error that a validator raises; each line of the message becomes one problem, which says what to do."""
    return PydanticCustomError("wrong", "{message}", {"message": message})


# ---------------------------------------------------------------- values

_DURATION = re.compile(r"(\d{1,6}) ?(s|seconds?|m|min|minutes?|h|hours?|d|days?)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration(text: str) -> timedelta:
    """The duration that a text such as `15 minutes`, `2h` or `1 day` means. Raises ValueError for any other text."""
    parts = _DURATION.fullmatch(text.strip())
    if parts is None:
        raise ValueError("must be a duration, as 15 minutes, 2h or 1 day")
    return timedelta(seconds=int(parts[1]) * _SECONDS[parts[2][0]])


def as_list(raw: object) -> object:
    """A list with one text, where a text is written instead of a list."""
    if isinstance(raw, (str, list)):
        return [raw] if isinstance(raw, str) else raw
    raise wrong("must be text, or a list of texts")


def from_reference(raw: object) -> object:
    """The boolean or whole number that a text means: a reference `${…}` always yields text."""
    if isinstance(raw, str) and re.fullmatch(r"\d{1,15}", raw, re.ASCII):
        return int(raw)
    return {"true": True, "false": False}.get(raw, raw) if isinstance(raw, str) else raw


def local_path(text: str) -> str:
    """The text, which must name a file of this machine."""
    if not text.strip() or "\0" in text:
        raise wrong("must name a file")
    if "://" in text:
        raise wrong("only files of this machine can be read here; copy them, or mount their folder")
    return text


Text = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Text], BeforeValidator(as_list), Field(min_length=1)]
Secret = Annotated[SecretStr, References.SECRET]
LocalPath = Annotated[str, AfterValidator(local_path)]
LocalPaths = Annotated[list[LocalPath], BeforeValidator(as_list), Field(min_length=1)]
OrReference = BeforeValidator(from_reference)  # stands last, so that the JSON Schema has the bounds before it
Flag = Annotated[bool, OrReference]
Count = Annotated[int, Field(ge=0), OrReference]
