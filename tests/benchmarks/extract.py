"""Measures how fast a database's rows are copied to this machine, beside what people use today, from the same tables.

    python -m tests.benchmarks.extract [--rows 1000000] [--rounds 3] [--only postgresql --only mariadb-ours] [--quick]

Every contender is a whole command that reads all rows of a table, measured from its start to its exit, start-up
included; it leaves Parquet (or CSV) on the disk, or, where its name says so, throws the rows away. Those of one
database take turns; figures are medians. Before anything is timed, each reads a small table, and the rows it left are
counted: whoever loses some, or has some twice, is named.

Read the ratios: they were measured in one run on one machine. The figures are that machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .measure import Cost, Measure, cost_of
from .ratios import Figure, Ratio, middle, speed
from .run import DEADLINE_S, QUIET_LOAD, STDERR_LINES, environment, machine

FEW = 20_000  # rows of the small table, see tables.py

console = Console(width=None if sys.stdout.isatty() else 140)


@dataclass(frozen=True, slots=True)
class Task:
    """What a contender has to do this time."""

    url: str  # of the database, in SQLAlchemy's form
    table: str
    folder: Path  # for the rows; not there yet
    peers: Path  # the Python that the peers are installed in


@dataclass(frozen=True, slots=True)
class Contender:
    """Someone who reads the rows."""

    key: str  # the database's name comes first
    name: str
    command: Callable[[Task], list[str]]
    peer: bool = True  # runs in the peers' environment
    keeps: bool = True  # leaves the rows on the disk
    once: bool = False  # needs half a minute or more, so it is measured in the first round only

    @property
    def database(self) -> str:
        return self.key.partition("-")[0]


def ours(task: Task) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.staged", *_what(task)]


def peer(module: str, *options: str) -> Callable[[Task], list[str]]:
    def command(task: Task) -> list[str]:
        return [str(task.peers), "-m", f"tests.benchmarks.peers.{module}", *_what(task), *options]

    return command


def _what(task: Task) -> list[str]:
    return [task.url, task.table, str(task.folder)]


# Not measured: dlt's other backends on MariaDB. They take its doubles for decimals, of ever other digits, and end with
# an error.
CONTENDERS = (
    Contender("postgresql-ours", "cio-etl", ours, peer=False),
    Contender("postgresql-adbc", "ADBC + pyarrow", peer("adbc_table")),
    Contender("postgresql-drain", "ADBC, thrown away", peer("adbc_table", "--drain"), keeps=False),
    Contender("postgresql-copy", "psycopg COPY, thrown away", peer("copy_table"), keeps=False),
    Contender("postgresql-connectorx", "connectorx + pyarrow", peer("connectorx_table")),
    Contender("postgresql-loop", "SQLAlchemy + csv", peer("csv_table"), once=True),
    Contender("postgresql-dlt-x", "dlt, connectorx", peer("dlt_table", "--backend=connectorx")),
    Contender("postgresql-dlt-arrow", "dlt, pyarrow", peer("dlt_table", "--backend=pyarrow"), once=True),
    Contender("postgresql-dlt", "dlt, sqlalchemy (default)", peer("dlt_table"), once=True),
    Contender("mariadb-ours", "cio-etl", ours, peer=False),
    Contender("mariadb-connectorx", "connectorx + pyarrow", peer("connectorx_table")),
    Contender("mariadb-loop", "pymysql + csv", peer("csv_table"), once=True),
    Contender("mariadb-dlt-x", "dlt, connectorx", peer("dlt_table", "--backend=connectorx")),
    Contender("sqlite-ours", "cio-etl", ours, peer=False),
    Contender("sqlite-loop", "sqlite3 + csv", peer("csv_table")),
    Contender("sqlite-dlt-arrow", "dlt, pyarrow", peer("dlt_table", "--backend=pyarrow"), once=True),
    Contender("duckdb-ours", "cio-etl", ours, peer=False),
    Contender("duckdb-copy", "its own COPY to Parquet", peer("copy_table")),
)
DATABASES = tuple(dict.fromkeys(contender.database for contender in CONTENDERS))
QUICKEST_OF = (
    "postgresql-adbc",
    "postgresql-connectorx",
    "postgresql-copy",
)  # what no reader of rows can be far beyond


def peak_mb(first: Figure, second: Figure) -> float:
    return first.peak_mb


RATIOS = (
    Ratio("PostgreSQL: ours / quickest of ADBC + pyarrow, connectorx, COPY", "postgresql-ours", "quickest", speed, 0.5),
    Ratio("PostgreSQL: ours / ADBC + pyarrow", "postgresql-ours", "postgresql-adbc", speed),
    Ratio("PostgreSQL: ours / connectorx + pyarrow", "postgresql-ours", "postgresql-connectorx", speed),
    Ratio("PostgreSQL: ours / dlt, connectorx", "postgresql-ours", "postgresql-dlt-x", speed, 1),
    Ratio("PostgreSQL: ours / dlt, pyarrow", "postgresql-ours", "postgresql-dlt-arrow", speed, 4),
    Ratio("PostgreSQL: ours / dlt, sqlalchemy", "postgresql-ours", "postgresql-dlt", speed, 8),
    Ratio("PostgreSQL: ours / SQLAlchemy + csv", "postgresql-ours", "postgresql-loop", speed, 3),
    Ratio("MariaDB: ours / connectorx + pyarrow", "mariadb-ours", "mariadb-connectorx", speed, 0.5),
    Ratio("MariaDB: ours / dlt, connectorx", "mariadb-ours", "mariadb-dlt-x", speed),
    Ratio("MariaDB: ours / pymysql + csv", "mariadb-ours", "mariadb-loop", speed, 2),
    Ratio("SQLite: ours / dlt, pyarrow", "sqlite-ours", "sqlite-dlt-arrow", speed, 1.5),
    Ratio("SQLite: ours / sqlite3 + csv", "sqlite-ours", "sqlite-loop", speed, 0.8),
    Ratio("DuckDB: ours / its own COPY", "duckdb-ours", "duckdb-copy", speed, 0.4),
    *(Ratio(f"MB of memory: {name}", f"{name}-ours", f"{name}-ours", peak_mb, 300, at_most=True) for name in DATABASES),
)


def ratios(figures: MappingOf[str, Figure]) -> dict[Ratio, float]:
    """Each ratio whose two sides were measured."""
    known = dict(figures)
    if set(QUICKEST_OF) <= set(figures):
        known["quickest"] = max((figures[key] for key in QUICKEST_OF), key=lambda figure: figure.rows_per_second)
    return {
        ratio: ratio.of(known[ratio.first], known[ratio.second])
        for ratio in RATIOS
        if ratio.first in known and ratio.second in known
    }


# ---------------------------------------------------------------- measuring


@contextmanager
def tables(folder: Path, databases: Sequence[str], rows: int) -> Iterator[dict[str, str]]:
    """The address of each database that can be had, with its tables; made in a process of its own (see measure.py)."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.benchmarks.tables", str(folder), f"--rows={rows}"),
            *(f"--database={database}" for database in databases),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        tables = json.loads(process.stdout.readline())
        for database, reason in tables["missing"].items():
            console.print(f"[red]{database} is left out: {reason}", highlight=False)
        yield tables["addresses"]
    finally:
        process.communicate()  # its input ends


@dataclass(frozen=True, slots=True)
class Ground:
    """What all runs stand on."""

    folder: Path
    peers: Path
    addresses: MappingOf[str, str]
    measure: Measure = cost_of

    @contextmanager
    def ran(self, contender: Contender, table: str) -> Iterator[tuple[Cost, Path]]:
        """What the contender's command cost, and the rows it left, which are gone afterwards."""
        scratch = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            task = Task(self.addresses[contender.database], table, scratch / "rows", self.peers)
            yield self.measure(contender.command(task), environment(), DEADLINE_S), task.folder
        finally:
            shutil.rmtree(scratch)


def complaint(contender: Contender, cost: Cost, rows: int) -> str | None:
    """Why this run doesn't count, from what the contender itself says; None when it does."""
    who = f"{contender.database}, {contender.name}"
    if cost.exit_code:
        last = " / ".join(cost.stderr.strip().splitlines()[-STDERR_LINES:])
        return f"{who}: ended with {cost.exit_code}: {last}"
    printed = cost.stdout.split()[-1:]
    return None if printed == [str(rows)] else f"{who}: says it read {' '.join(printed) or 'nothing'} of {rows} rows"


def verified(ground: Ground, contender: Contender) -> str | None:
    """What is wrong with how the contender reads the small table; None when every row came once."""
    with ground.ran(contender, "few") as (cost, folder):
        if (said := complaint(contender, cost, FEW)) is not None or not contender.keeps:
            return said
        command = [sys.executable, "-m", "tests.benchmarks.count_rows", str(folder)]
        root = Path(__file__).parents[2]
        counted = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    rows, ids = map(int, counted.split())
    return (
        None
        if rows == ids == FEW
        else f"{contender.database}, {contender.name}: left {rows} rows and {ids} ids of {FEW}"
    )


def measured(ground: Ground, contenders: Sequence[Contender], rows: int, rounds: int) -> dict[str, Figure]:
    """Each contender's median figures, by key; who failed is said and left out."""
    figures: dict[str, list[Figure]] = {contender.key: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            if number and contender.once:
                continue
            console.print(f"[dim]{contender.database}, round {number + 1}: {contender.name}", highlight=False)
            with ground.ran(contender, "t") as (cost, _):
                if (said := complaint(contender, cost, rows)) is not None:
                    console.print(f"[red]{said}", highlight=False)
                    continue
            figures[contender.key].append(
                Figure(rows, cost.seconds, cost.cpu_s, cost.peak_mb, requests=0, bytes_sent=0)  # nothing is sent
            )
    return {key: middle(costs) for key, costs in figures.items() if costs}


# ---------------------------------------------------------------- what is printed


def figures_table(contenders: Sequence[Contender], figures: MappingOf[str, Figure]) -> Table:
    table = Table(title="figures", title_justify="left")
    for heading in ("database", ""):
        table.add_column(heading)
    for heading in ("rows/s", "seconds", "CPU s", "peak MB"):
        table.add_column(heading, justify="right")
    for contender in contenders:
        if (figure := figures.get(contender.key)) is not None:
            table.add_row(
                contender.database,
                contender.name,
                f"{figure.rows_per_second:,.0f}",
                f"{figure.seconds:,.2f}",
                f"{figure.cpu_s:,.2f}",
                f"{figure.peak_mb:,.0f}",
            )
    return table


def ratios_table(figures: MappingOf[str, Figure]) -> Table:
    table = Table(title="ratios", title_justify="left")
    table.add_column("")
    for heading in ("goal", "measured"):
        table.add_column(heading, justify="right")
    for ratio, value in ratios(figures).items():
        goal = "" if ratio.goal is None else f"at {'most' if ratio.at_most else 'least'} {ratio.goal:g}"
        shown = f"{value:,.0f}" if ratio.of is peak_mb else f"{value:,.2f}"
        table.add_row(ratio.name, goal, f"[{'default' if ratio.met(value) else 'red'}]{shown}")
    return table


# ---------------------------------------------------------------- the door


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how cio-etl reads databases, beside its peers.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    keys = [*DATABASES, *(contender.key for contender in CONTENDERS)]
    parser.add_argument("--only", action="append", metavar="KEY", choices=keys, help="a database, or one contender")
    parser.add_argument(
        "--quick", action="store_true", help="50,000 rows, one round: does it work? Start-up is most of it"
    )
    parser.add_argument(
        "--peers", type=Path, default=Path(".venv-bench/bin/python"), help="the Python the peers are in"
    )
    parser.add_argument("--folder", type=Path, default=Path(".venv-bench/data"), help="keeps what is read and written")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args(given)


def main(options: argparse.Namespace, measure: Measure = cost_of) -> int:
    rows, rounds = (50_000, 1) if options.quick else (options.rows, options.rounds)
    contenders = [c for c in CONTENDERS if not options.only or {c.key, c.database} & set(options.only)]
    # absolute(), not resolve(): a virtual environment's python is a link out of it
    peers, folder = options.peers.absolute(), options.folder.absolute()
    if not peers.exists():
        console.print(
            f"[red]no {options.peers}: the peers are omitted; `make bench-extract` builds it", highlight=False
        )
        contenders = [c for c in contenders if not c.peer]
    folder.mkdir(parents=True, exist_ok=True)
    console.print(f"{rows:,} rows, {rounds} rounds; {machine()}; load {os.getloadavg()[0]:.1f}", highlight=False)
    if os.getloadavg()[0] > QUIET_LOAD:
        console.print(
            "[yellow]this machine has other work: the figures mean little, the ratios not much", highlight=False
        )
    with tables(folder, list(dict.fromkeys(c.database for c in contenders)), rows) as addresses:
        ground = Ground(folder, peers, addresses, measure)
        contenders = [c for c in contenders if c.database in addresses]
        faulty = [wrong for c in contenders if (wrong := verified(ground, c)) is not None]
        figures: dict[str, Figure] = {}
        for database in addresses:
            figures |= measured(ground, [c for c in contenders if c.database == database], rows, rounds)
    console.print(figures_table(contenders, figures))
    console.print(ratios_table(figures))
    for wrong in faulty:
        console.print(f"[red]{wrong}", highlight=False)
    if options.json is not None:
        values = {key: asdict(figure) for key, figure in figures.items()}
        options.json.write_text(json.dumps({"machine": machine(), "figures": values}, indent=2))
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main(arguments()))
