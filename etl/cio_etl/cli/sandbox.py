"""The command `sandbox`: serves a local Customer.io."""

from __future__ import annotations

import click

from cio_etl.cli.main import cli


@cli.command(epilog="More: README.md")
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free port.")
def sandbox(host: str, port: int) -> None:
    """Serve a local Customer.io for tests, until Ctrl-C."""
    from cio_etl.report.streams import say
    from cio_etl.sandbox import serve

    def announce(url: str) -> None:
        say(f"Customer.io sandbox on {url}  (site id, API key, write key and App key: sandbox)")
        say(f"  a job sends there with   destination.base_url: {url}")

    try:
        serve(host, port, announce=announce)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
