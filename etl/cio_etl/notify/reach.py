"""Says whether a channel could be reached now, without sending anything."""

from __future__ import annotations

import shutil
import socket
from urllib.parse import urlsplit

from cio_etl.model import Channel
from cio_etl.notify.mail import session
from cio_etl.notify.not_sent import NotSent
from cio_etl.notify.tls import tls_context

CONNECT_S = 5.0


def reach(channel: Channel) -> str:
    """What answers. Raises NotSent when nothing could be sent: a missing secret, no connection, a refused login."""
    if channel.fault:
        raise NotSent(channel.fault)
    if channel.kind == "command":
        if shutil.which(channel.command[0]) is None:
            raise NotSent(f"{channel.command[0]} is not a program that can be started")
        return f"{channel.command[0]} can be started"
    if channel.kind == "email":
        with session(channel):
            return "the mail server answers, and takes the login if there is one"
    assert channel.address is not None
    address = urlsplit(channel.address.value.get_secret_value())
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname or "", port), CONNECT_S) as connection:
            if address.scheme == "https":
                with tls_context(channel).wrap_socket(connection, server_hostname=address.hostname):
                    pass
    except (OSError, ValueError) as error:
        what = "its certificate is not valid here" if "CERTIFICATE" in str(error) else "no connection"
        raise NotSent(what) from None
    return "its host answers; nothing was sent"
