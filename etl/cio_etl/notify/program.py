"""Gives notices to a program of the user: as JSON on its standard input, without a shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

from cio_etl.model import Channel
from cio_etl.notify.not_sent import NotSent
from cio_etl.notify.notice import Notice


def command(channel: Channel, notice: Notice) -> None:
    """Starts the program and waits for its end; kills it and its children when that takes too long. Raises NotSent."""
    words = [word.replace("{job}", notice.job).replace("{status}", notice.kind) for word in channel.command]
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else "its words cannot be arguments"
        raise NotSent(f"{words[0]} cannot be started: {what}") from None
    with process:
        try:
            process.communicate(json.dumps(notice.summary(int(time.time()))).encode(), channel.timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started
            raise NotSent(f"{words[0]} took longer than {channel.timeout_s:g} s") from None
    if process.returncode:
        raise NotSent(f"{words[0]} ended with exit code {process.returncode}")
