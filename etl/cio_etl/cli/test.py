"""The command `test`: runs the tests of mappings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cio_etl.cli.main import cli
from cio_etl.log.temporary import temporary_folder

if TYPE_CHECKING:
    from cio_etl.validate.mapping_tests import Outcome


@cli.command(epilog="More: mappings/README.md, Tests")
@click.argument("paths", metavar="JOB|MAPPING|FOLDER", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--update", "updates", is_flag=True, help="Write what is sent today as the expected results.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write the outcomes as JUnit XML, too.")
def test(paths: tuple[Path, ...], updates: bool, junit: Path | None) -> None:
    """Run the tests of mappings; read no data, send nothing.

    They are the examples of the mappings, and the files in the folder `tests` beside each: mappings/tests/NAME.yaml.
    Every row becomes what a run would send. The exit code is 78 when a test fails.
    """

    from cio_etl.config import find_tests
    from cio_etl.errors import ConfigError
    from cio_etl.log.streams import say
    from cio_etl.model.words import counted
    from cio_etl.validate.junit import junit as junit_xml
    from cio_etl.validate.mapping_tests import run_tests
    from cio_etl.validate.tests_update import replace_text, update

    outcomes: list[Outcome] = []
    with temporary_folder() as stage:
        for number, tests in enumerate(find_tests(paths)):
            here = list(run_tests(tests, Path(stage) / str(number)))
            if updates and (written := update(here)):
                for file in written:
                    say(f"written: {file}")
                again = [found for found in find_tests([tests.file]) if found.file == tests.file]
                here = [outcome for found in again for outcome in run_tests(found, Path(stage) / f"{number}-again")]
            outcomes += here
            failed = sum(outcome.status != "passed" for outcome in here)
            kind = "example" if tests.are_examples else "test"
            say(f"{tests.file}: {counted(len(here), kind)}" + (f", {failed} failed" if failed else " passed"))
    for outcome in outcomes:
        if outcome.status != "passed":
            say("\n".join(["", f"{outcome.place}: {outcome.test.name}: {outcome.words}", *outcome.shown()]))
    if junit is not None:
        replace_text(junit, junit_xml(outcomes))
    failed = sum(outcome.status != "passed" for outcome in outcomes)
    if not outcomes:
        say("no tests; `cio-etl examples JOB` writes some")
        return
    say(f"{counted(len(outcomes) - failed, 'test')} passed" + (f", {failed} failed" if failed else ""))
    if failed:
        raise SystemExit(ConfigError.exit_code)
