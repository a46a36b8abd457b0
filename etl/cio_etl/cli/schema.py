"""The command `schema`: prints a JSON Schema for editors."""

from __future__ import annotations

from typing import Literal

import click

from cio_etl.cli.main import cli


@cli.command(epilog="More: mappings/README.md, In your editor")
@click.argument("kind", metavar="KIND", type=click.Choice(["job", "mapping", "tests"]))
def schema(kind: Literal["job", "mapping", "tests"]) -> None:
    """Print a JSON Schema of jobs, mappings or tests, for editors.

    KIND is `job`, `mapping` or `tests`.
    """
    from cio_etl.config import schema_text
    from cio_etl.log.streams import say

    say(schema_text(kind).removesuffix("\n"))
