"""The command `notify`: prints whom a job tells how it goes, and tries it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JOB, RESULT_JSON, TARGET

if TYPE_CHECKING:
    from cio_etl.model import Channel

NOT_SENT = 3  # exit code: a person should look


@cli.command(epilog="More: jobs/README.md, Being told")
@JOB
@click.option("--test", is_flag=True, help="Send a test notice through each channel.")
@TARGET
@RESULT_JSON
@ENV_FILE
def notify(job: Path, test: bool, target: str | None, as_json: bool) -> None:
    """Print whom JOB tells how it goes, and of what.

    With --test each channel gets a test notice; it exits with 3 if one could not be sent.
    """
    from cio_etl.config import load_outline
    from cio_etl.log.streams import say
    from cio_etl.run import try_channels

    loaded = load_outline(job, target=target)
    sent = try_channels(loaded, datetime.now(UTC)) if test else []
    if as_json:
        rows = [asdict(each) for each in sent] if test else [_described(each) for each in loaded.notify]
        say(json.dumps(rows, ensure_ascii=False))
    elif not loaded.notify:
        say(f"{loaded.name} tells nobody; write notify: in {job}, or in {job.parent / 'cio-etl.yaml'}")
    for channel in () if as_json or test else loaded.notify:
        say(f"{channel.label}: {', '.join(_conditions(channel))}" + (f"; {channel.fault}" if channel.fault else ""))
    for each in () if as_json else sent:
        say(f"{each.channel}: " + ("sent" if each.sent else "not sent") + (f"; {each.reason}" if each.reason else ""))
    raise SystemExit(0 if all(each.sent for each in sent) else NOT_SENT)


def _described(channel: Channel) -> dict[str, object]:
    return {"channel": channel.label, "on": _conditions(channel), "fault": channel.fault or None}


def _conditions(channel: Channel) -> list[str]:
    """The changes of state for which the channel gets a notice, as `failed` and `rejects 1 %`."""
    words = {
        "rejects": "rejects above {:g} %",
        "deviates": "rows that deviate by {:g} %",
        "slower": "slower than {:g}x",
    }
    return [
        kind if threshold is None else words[kind].format(threshold if kind == "slower" else threshold * 100)
        for kind, threshold in channel.on.items()
    ]
