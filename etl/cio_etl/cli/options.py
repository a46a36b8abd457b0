"""Makes click's options from the declarations in run/options.py, and declares those that several commands share."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from cio_etl.cli import complete
from cio_etl.run.options import MOST, RUN_NAME, Option, ReadOptions, RunOptions, made_of, options_of, seconds
from cio_etl.run.shares import Share, share
from cio_etl.validate.options import ValidateOptions

Command = Callable[..., None]


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A duration such as `30m` or `2 hours`, or a number of seconds; in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return seconds(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, context)


class Existing(click.Path):
    """A path that exists; `folders` may be one, too. For another, the message names a similar file."""

    def __init__(self, *, folders: bool = False) -> None:
        super().__init__(exists=True, dir_okay=folders, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        from cio_etl.errors import did_you_mean_file

        if not os.path.lexists(value):
            self.fail(f"{value}: no such file; {did_you_mean_file(os.fspath(value))}", param, context)
        return super().convert(value, param, context)


class Lanes(click.ParamType):  # type: ignore[type-arg]
    """A number of lanes such as `32`, or a share of all lanes such as `0-7/16` or `0,4,8/16`; 1 to 256 in all."""

    name = "lanes"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> int | Share:
        try:
            return share(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, context)


class RunName(click.ParamType):  # type: ignore[type-arg]
    """A run's own name: it is a folder's name, too."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        if not re.fullmatch(RUN_NAME, str(value)):
            self.fail("up to 100 letters, digits, - and _, beginning with a letter or digit", param, context)
        return str(value)


_TYPES: dict[str, dict[str, Any]] = {
    "flag": {"is_flag": True},
    "count": {"type": click.IntRange(1, MOST)},
    "seconds": {"type": click.FloatRange(0), "show_default": True},
    "duration": {"type": Duration()},
    "text": {},
    "texts": {"multiple": True},
    "lanes": {"type": Lanes()},
    "name": {"type": RunName()},
    "folder": {"type": click.Path()},
}


_COMPLETED = {"steps": complete.step_names, "target": complete.target_names}  # by their names in Python


def options(kind: type[ReadOptions], only: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Gives a command the options that a class declares, or `only` some of them, as its argument `options`."""
    offered = [each for each in options_of(kind) if "cli" in each.interfaces and (not only or each.name in only)]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def call(**arguments: Any) -> None:
            values = {each.name: arguments.pop(each.name) for each in offered}
            command(options=made_of(kind, values), **arguments)

        for each in reversed(offered):
            click_option(each)(call)
        return call

    return decorate


def click_option(option: Option) -> Callable[[Command], Command]:
    """The option as click declares it."""
    settings = {"default": option.default, "help": option.help, **_TYPES[option.kind]}
    if option.metavar is not None:
        settings["metavar"] = option.metavar
    if option.name in _COMPLETED:
        settings["shell_complete"] = _COMPLETED[option.name]
    short = [option.short] if option.short else []
    return click.option(*short, option.flag, option.name, **settings)


# The spelling of each option in messages, by its name in Python.
FLAGS = {each.name: each.flag for kind in (RunOptions, ValidateOptions) for each in options_of(kind)}

TARGET = click_option(next(each for each in options_of(ReadOptions) if each.name == "target"))
JOB = click.argument("job", type=click.Path(path_type=Path), shell_complete=complete.job_files)


def _read_env_file(context: click.Context, _: click.Parameter, file: Path | None) -> None:
    """Adds the variables of a file to the process's environment, whose own values win, until the command has ended."""
    if file is None or context.resilient_parsing:
        return
    from cio_etl.config import read_env_file

    added = {name: value for name, value in read_env_file(file).items() if name not in os.environ}
    os.environ.update(added)
    context.meta[ENV_FILE_META] = file

    def remove() -> None:
        for name in added:
            os.environ.pop(name, None)

    context.find_root().call_on_close(remove)


ENV_FILE_META = "cio_etl.env_file"  # where commands that are printed find the file
ENV_FILE = click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read environment variables from this file, as .env; those that are set already win.",
    callback=_read_env_file,
    expose_value=False,
    is_eager=True,
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the report as JSON on stdout.")
RESULT_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
INTO = click.option(
    "--into",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="FOLDER",
    help="Write into this folder. [default: the current one]",
)
SOURCE = click.argument("source")
TABLE = click.option(
    "--table", metavar="NAME", help="SOURCE is a database, as '${WAREHOUSE_URL}' or shop.sqlite; read this table."
)
TABLES = click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="SOURCE is a database, as '${WAREHOUSE_URL}' or shop.sqlite; read this table. Repeatable: a step each.",
)
QUERY_FILE = click.option("--query-file", metavar="FILE", help="SOURCE is a database; read the result of this query.")
SHEET = click.option("--sheet", metavar="NAME", help="The sheet to read, of a workbook with several.")
UNITS = ("s", "ms", "us", "ns", "excel", "excel1904")
STATE = click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="The state folder, or a job file that names it. [default: .etl]",
)
