"""The command `demo`: runs a real job against the embedded sandbox."""

from __future__ import annotations

import contextlib
from pathlib import Path
from shlex import quote

import click

from cio_etl.cli.main import cli
from cio_etl.cli.run import run


@cli.command(epilog="More: README.md, Install")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"))
def demo(folder: Path) -> None:
    """Load example data into a local Customer.io.

    Writes a shop's export with the faults of real exports, a job and its mappings into FOLDER, `demo` unless another is
    named. Then it runs the job against the sandbox; nothing leaves this machine. A job and mappings that are there stay
    as they are.
    """
    from cio_etl.cli.commands import as_typed
    from cio_etl.log.streams import say
    from cio_etl.project import DEMO_JOB, write_demo

    written, changed = write_demo(folder)
    say(f"written    {', '.join(str(path) for path in written)}")
    for path in changed:
        say(f"kept       {path}, which differs from the demo's")
    with contextlib.chdir(folder):
        try:
            click.get_current_context().invoke(run, job=DEMO_JOB, sandbox=True)
        except SystemExit as end:
            if end.code not in (0, 3):  # 3: some rows rejected, as the demo means them to be
                raise
    if folder.resolve() != Path.cwd():
        say(f"folder     cd {quote(str(folder))}   # the paths and commands above and below start there")
    say(f"again      {as_typed('run', DEMO_JOB, '--sandbox')}")
    say(f"a page     {as_typed('ui', '--state', DEMO_JOB)}")
    say("your own   cio-etl new FOLDER writes a project, cio-etl init FILE a job and a mapping for a file")
