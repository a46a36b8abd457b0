"""The command `sandbox`: serves a local Customer.io."""

from __future__ import annotations

from pathlib import Path

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import Existing


@cli.command(epilog="More: jobs/README.md, Sandbox")
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free port.")
@click.option(
    "--segment",
    "segments",
    type=click.IntRange(1),
    multiple=True,
    help="The number of a manual segment that exists. Several are allowed.",
)
@click.option(
    "--certfile",
    type=Existing(),
    help="A certificate in PEM, with --keyfile: serve HTTPS, the only protocol of some clients of the vendor.",
)
@click.option("--keyfile", type=Existing(), help="The certificate's key in PEM.")
def sandbox(host: str, port: int, segments: tuple[int, ...], certfile: Path | None, keyfile: Path | None) -> None:
    """Serve a local Customer.io for tests, until Ctrl-C."""
    import ssl

    from cio_etl.cli.shared import why_not_listening
    from cio_etl.log.streams import say
    from cio_etl.sandbox import serve

    def announce(url: str) -> None:
        say(f"Customer.io sandbox on {url}  (site id, API key, write key and App key: sandbox)")
        say(f"  a job sends there with   destination.base_url: {url}")

    if (certfile is None) is not (keyfile is None):
        raise click.UsageError("--certfile and --keyfile go together; add the other one")
    try:
        serve(host, port, segments=segments, ssl_certfile=certfile, ssl_keyfile=keyfile, announce=announce)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except ssl.SSLError:
        message = f"{certfile} and {keyfile} are no certificate with its key in PEM; name a pair that is one"
        raise click.UsageError(message) from None
    except OSError as error:
        raise click.UsageError(why_not_listening(error, host, port)) from None
