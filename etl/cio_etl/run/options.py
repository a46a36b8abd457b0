"""Declares each run option once. The command line, the Python API, Airflow and the documents read it from here.

A new option is one field of a class below, and the code that acts on it. From the field are made: the option of the
command and its help (cli/options.py), the keyword argument of `cio_etl.run` and its check, the argument of the Airflow
operator, the DAG's param (airflow/request.py), the flag with which Airflow starts the command in another environment,
and the row of the reference table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, TypeVar

from cio_etl.errors import InvalidArguments, did_you_mean
from cio_etl.run.shares import MOST_LANES, Share, share

FULL_REFRESH = "full refresh"  # the value of `since` that stands for it

Kind = Literal["flag", "count", "seconds", "duration", "text", "texts", "lanes", "name", "folder"]
MOST = 10**15 - 1  # of a count: databases and hashes take no number of more than 64 bits
Interface = Literal["cli", "airflow", "param"]  # param: what a person chooses when a DAG is started by hand
ALL_INTERFACES: tuple[Interface, ...] = ("cli", "airflow", "param")

RUN_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option: its name, value and help, and the interfaces that offer it. Python offers all of them."""

    name: str
    default: Any
    help: str
    kind: Kind
    flag: str  # on the command line
    short: str = ""  # another spelling there
    metavar: str | None = None
    interfaces: tuple[Interface, ...] = ALL_INTERFACES
    repeated: bool = True  # in a command that resumes the run: it must be the same again
    airflow_default: Any = None  # in place of `default`

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its value."""
        match self.kind:
            case "flag":
                return {"type": "boolean"}
            case "count":
                return {"type": ["integer", "null"], "minimum": 1, "maximum": MOST}
            case "lanes":
                return {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_LANES}
            case "texts":
                return {"type": "array", "items": {"type": "string"}}
            case "seconds" | "duration":
                return {"type": "number", "minimum": 0}
            case _:
                return {"type": ["string", "null"]}

    def words(self, value: Any) -> list[str]:
        """The value as the command's arguments: none where it is not given."""
        if value is None or value is False or value == () or value == self.default:
            return []
        if value is True:
            return [self.flag]
        return [f"{self.flag}={each}" for each in (value if self.kind == "texts" else [value])]


def option(
    default: Any,
    help: str,
    kind: Kind,
    *,
    flag: str = "",
    short: str = "",
    metavar: str | None = None,
    interfaces: tuple[Interface, ...] = ALL_INTERFACES,
    repeated: bool = True,
    airflow_default: Any = None,
) -> Any:
    """A field of a class of options."""
    more = {
        "help": help,
        "kind": kind,
        "flag": flag,
        "short": short,
        "metavar": metavar,
        "interfaces": interfaces,
        "repeated": repeated,
        "airflow_default": airflow_default,
    }
    return field(default=default, metadata=more)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Which rows a run or a validation reads. Raises InvalidArguments for a value that an option does not take."""

    steps: Sequence[str] = option(
        (),
        "Only this step; may be given several times.",
        "texts",
        flag="--step",
        metavar="NAME",
        interfaces=("cli", "airflow"),
    )
    target: str | None = option(
        None,
        "The destination, of a job with several `destinations`.",
        "text",
        metavar="NAME",
        interfaces=("cli", "airflow"),
    )
    limit: int | None = option(None, "Only the first N rows of each step.", "count", metavar="N")
    full_refresh: bool = option(False, "Read everything that is newer than `start` again, and send all of it.", "flag")
    watermark: str | None = option(
        None, "Read from this value on, instead of the last run's watermark.", "text", metavar="VALUE"
    )

    def __post_init__(self) -> None:
        for each in options_of(type(self)):
            object.__setattr__(self, each.name, _checked(each, getattr(self, each.name)))
        if self.full_refresh and self.watermark is not None:
            raise InvalidArguments("`full_refresh` reads everything, `watermark` from a value on; give one of the two")

    @property
    def reading(self) -> ReadOptions:
        """The options of reading alone, which every command that reads a job's rows has."""
        return ReadOptions(**{each.name: getattr(self, each.name) for each in options_of(ReadOptions)})

    @property
    def since(self) -> str | None:
        """Where reading starts: FULL_REFRESH, or a watermark; None: where the last finished run ended."""
        return FULL_REFRESH if self.full_refresh else self.watermark


class Waiting:
    """Options with a `wait`: a number of seconds, once `_checked` has read it."""

    __slots__ = ()
    wait: float | str

    @property
    def wait_s(self) -> float:
        """The wait in seconds."""
        return float(self.wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(ReadOptions, Waiting):
    """What a run is asked to do, beyond what its job file says."""

    restart: bool = option(False, "Abandon the unfinished run and start a new one.", "flag", repeated=False)
    sandbox: bool = option(
        False, "Send to the built-in sandbox instead of Customer.io; needs no keys.", "flag", interfaces=("cli",)
    )
    lanes: int | str | Share | None = option(  # noqa: RUF009 (it makes a field)
        None,
        "The number of lanes, each sending one batch at a time (default: the job's); a share such as 0-7/16 makes this"
        " process one of several workers.",
        "lanes",
        metavar="N",
    )
    run_id: str | None = option(
        None,
        "The ID of the run (default: made from the start time). A run that has finished under this ID is not repeated:"
        " the command prints its report and sends nothing.",
        "name",
        metavar="NAME",
        interfaces=("cli", "airflow"),
    )
    accept_drift: bool = option(False, "Accept columns whose kind has changed since the last run.", "flag")
    retry_refused: bool = option(
        False, "Send again what Customer.io refused before, though it has not changed.", "flag"
    )
    accept_changes: bool = option(False, "Send, this once, more changes than `limits` and `max_gone` allow.", "flag")
    accept_unexpected: bool = option(False, "Send, this once, rows that are not as `expect` says.", "flag")
    rebuild_ledger: bool = option(False, "Start new ledgers: everything is sent once, and nobody is removed.", "flag")
    grace: float = option(
        20.0,
        "Seconds that requests in flight have to finish after a signal to stop.",
        "seconds",
        interfaces=("cli", "airflow"),
        repeated=False,
        airflow_default=4.0,  # Airflow kills a task five seconds after it has asked it to end
    )
    wait: float | str = option(
        0.0,
        "How long to wait for another run of JOB to end, in seconds or such as 30m (default 0: do not wait).",
        "duration",
        metavar="DURATION",
        interfaces=("cli",),
        repeated=False,
    )

    @property
    def share(self) -> Share | None:
        """The lanes of one of several workers; None: one process does the whole run."""
        return self.lanes if isinstance(self.lanes, Share) else None


# An option of an Airflow task alone: a run with rejected rows has not failed.
FAIL_ON_REJECTS = Option(
    name="fail_on_rejects",
    default=False,
    help="Fail when there are rejected rows, however few.",
    kind="flag",
    flag="",
    interfaces=("airflow", "param"),
)


def options_of(kind: type[ReadOptions]) -> tuple[Option, ...]:
    """The options that a class declares, in its order."""
    return tuple(
        Option(**{"name": each.name, "default": each.default, **each.metadata, "flag": _flag(each)})
        for each in fields(kind)
        if each.default is not MISSING
    )


def _flag(declared: Any) -> str:
    return declared.metadata["flag"] or f"--{declared.name.replace('_', '-')}"


def repeated_words(options: ReadOptions) -> list[str]:
    """The arguments with which the command is given again, to resume the run or to do it for real."""
    words = []
    for each in options_of(type(options)):
        value = getattr(options, each.name)
        if each.repeated:
            words += each.words(value)
    return words


Made = TypeVar("Made", bound=ReadOptions)


def made_of(kind: type[Made], arguments: Mapping[str, Any]) -> Made:
    """The options with these values by name. Raises InvalidArguments for a name or a value that is wrong."""
    names = [each.name for each in options_of(kind)]
    for name in arguments:
        if name not in names:
            raise InvalidArguments(f"no option {name!r}; {did_you_mean(name, names)}")
    return kind(**arguments)


def _checked(option: Option, value: Any) -> Any:
    """The value in its normal form."""
    for fault in _faults(option, value):
        raise InvalidArguments(f"`{option.name}`: {fault}")
    match option.kind:
        case "texts":
            return (value,) if isinstance(value, str) else tuple(value)
        case "lanes" if isinstance(value, str):
            try:
                return share(value)
            except ValueError as error:
                raise InvalidArguments(f"`{option.name}`: {value!r}: {error}") from None
        case "duration" if isinstance(value, str):
            try:
                return seconds(value)
            except ValueError as error:
                raise InvalidArguments(f"`{option.name}`: {value!r}: {error}") from None
    return value


def seconds(text: str) -> float:
    """The seconds of a duration such as `30m`, or of a number, which is seconds. Raises ValueError."""
    from cio_etl.model.yaml_section import duration

    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]*)?", text.strip()):
        return float(text)
    try:
        return duration(text).total_seconds()
    except ValueError:
        raise ValueError("must be a number of seconds, or a duration, as 15 minutes, 2h or 1 day") from None


def _faults(option: Option, value: Any) -> Iterator[str]:
    """What is wrong with a value."""
    if value is None and option.default is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match option.kind:
        case "flag" if not isinstance(value, bool):
            yield "must be true or false"
        case "count" if not (isinstance(value, int) and is_number and 1 <= value <= MOST):
            yield "must be a whole number, 1 or more, of 15 digits at most"
        case "lanes" if not isinstance(value, str | Share):
            if not (isinstance(value, int) and is_number and 1 <= value <= MOST_LANES):
                yield f"must be a whole number, 1 to {MOST_LANES}, or a share of the lanes such as '0-7/16'"
        case "seconds" if not (is_number and value >= 0):
            yield "must be a number of seconds, 0 or more"
        case "duration" if not isinstance(value, str) and not (is_number and value >= 0):
            yield "must be a number of seconds, or text such as '30m'"
        case "text" | "name" if not isinstance(value, str):
            yield "must be text"
        case "name" if not re.fullmatch(RUN_NAME, value):
            yield "must be up to 100 letters, digits, - and _, beginning with a letter or digit"
        case "texts" if not isinstance(value, str) and not all(isinstance(each, str) for each in value):
            yield "must be a list of texts"
