"""Parameters that several commands share, and the kinds of values that they take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cio_etl.run.resume import Share


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A duration, as `30m` or `2 hours`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        from cio_etl.config import duration

        try:
            return duration(str(value)).total_seconds()
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, context)


class Lanes(click.ParamType):  # type: ignore[type-arg]
    """How many lanes, as `32`, or which of how many, as `0-7/16` or `0,4,8/16`; 1 to 256 in all."""

    name = "lanes"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> int | Share:
        from cio_etl.run.resume import share

        try:
            return share(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, context)


class RunName(click.ParamType):  # type: ignore[type-arg]
    """A run's own name: it names a folder."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", str(value)):
            self.fail("up to 100 letters, digits, - and _, beginning with a letter or digit", param, context)
        return str(value)


DURATION = Duration()
JOB = click.argument("job", type=click.Path(path_type=Path))
STEP = click.option("--step", "steps", multiple=True, metavar="NAME", help="Only this step; may be given again.")
FULL_REFRESH = click.option("--full-refresh", is_flag=True, help="Read everything that is newer than `start`, again.")
WATERMARK = click.option(
    "--watermark", metavar="VALUE", help="Read from this value on, instead of the last run's mark."
)
JSON = click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
SOURCE = click.argument("source")
TABLE = click.option(
    "--table", metavar="NAME", help="SOURCE is a database's address, as '${WAREHOUSE_URL}'; read this table."
)
QUERY_FILE = click.option(
    "--query-file", metavar="FILE", help="SOURCE is a database's address; read what this query gives."
)
SHEET = click.option("--sheet", metavar="NAME", help="Of a workbook with several sheets.")
UNITS = ("s", "ms", "us", "ns", "excel", "excel1904")
SANDBOX = click.option("--sandbox", is_flag=True, help="Against the embedded sandbox instead of Customer.io.")
GRACE = click.option(
    "--grace", type=click.FloatRange(0), default=20.0, show_default=True, help="Seconds to drain after a signal."
)
STATE = click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="The state folder, or a job file that says where it is. [default: .etl]",
)
