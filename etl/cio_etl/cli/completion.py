"""The command `completion`: prints the script by which a shell completes `cio-etl`."""

from __future__ import annotations

import click

from cio_etl.cli.main import cli


@cli.command(epilog="More: jobs/README.md, Commands")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script by which a shell completes cio-etl.

    SHELL is `bash`, `zsh` or `fish`. The tab key then completes commands, options, job files, their steps and targets,
    and runs.
    """
    from click.shell_completion import get_completion_class

    from cio_etl.cli.complete import VARIABLE
    from cio_etl.log.streams import say

    kind = get_completion_class(shell)
    if kind is not None:  # click knows the three
        say(kind(cli, {}, "cio-etl", VARIABLE).source())
