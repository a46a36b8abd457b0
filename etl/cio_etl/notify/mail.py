"""Sends notices by e-mail, over TLS; without TLS only to a server on this machine."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import SplitResult, unquote, urlsplit

from cio_etl.model import Channel
from cio_etl.model.words import counted
from cio_etl.notify.not_sent import NotSent
from cio_etl.notify.notice import Notice
from cio_etl.notify.tls import tls_context

TIMEOUT_S = 8.0  # of each answer; send.py bounds the whole
PORTS = {"smtps": 465, "smtp": 587}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def email(channel: Channel, notice: Notice) -> str | None:
    """Sends the text; says which part of the recipients was refused. Raises NotSent."""
    message = EmailMessage()
    message["Subject"] = f"[cio-etl] {notice.title}"
    message["From"] = sender = channel.sender or _sender(channel)
    message["To"] = ", ".join(channel.to)
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = f"<{notice.id}@cio-etl.invalid>"  # the same after a kill: mail programs show it once
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
    message.set_content(f"{notice.text}\n")
    with session(channel) as server:
        refused = server.send_message(message, sender, list(channel.to))
    return f"{counted(len(refused), 'recipient')} of {len(channel.to)} refused" if refused else None


@contextmanager
def session(channel: Channel) -> Iterator[smtplib.SMTP]:
    """A session with the mail server, logged in where the address names a user. Raises NotSent for whatever fails."""
    address = _address(channel)
    try:
        with _connected(channel, address) as server:
            if address.username:
                server.login(unquote(address.username), unquote(address.password or ""))
            yield server
    except smtplib.SMTPAuthenticationError:
        raise NotSent("the mail server refused the user or the password") from None
    except smtplib.SMTPRecipientsRefused as error:
        raise NotSent(f"the mail server refused all of {counted(len(error.recipients), 'recipient')}") from None
    except smtplib.SMTPSenderRefused:
        raise NotSent("the mail server refused the sender; write another one as sender:") from None
    except smtplib.SMTPNotSupportedError:
        raise NotSent("the mail server does not take a login, or not this message") from None
    except smtplib.SMTPResponseException as error:  # its text may quote an address
        raise NotSent(f"the mail server answered {error.smtp_code}") from None
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise NotSent(f"no session with the mail server: {_what(error)}") from None


def _what(error: Exception) -> str:
    if "CERTIFICATE" in str(error):
        return "its certificate is not valid here"
    if isinstance(error, smtplib.SMTPServerDisconnected | TimeoutError):
        return "it cut the connection, or did not answer in time"
    return "no connection" if isinstance(error, OSError) else type(error).__name__


@contextmanager
def _connected(channel: Channel, address: SplitResult) -> Iterator[smtplib.SMTP]:
    host, port = address.hostname or "", address.port or PORTS[address.scheme]
    is_plain = address.scheme == "smtp" and host in _LOOPBACK and channel.ca_file is None
    if address.scheme == "smtps":
        with smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=tls_context(channel)) as server:
            yield server
        return
    with smtplib.SMTP(host, port, timeout=TIMEOUT_S) as server:
        if not is_plain:
            try:
                server.starttls(context=tls_context(channel))
            except smtplib.SMTPNotSupportedError:
                raise NotSent("the mail server offers no STARTTLS; nothing is sent in plain text") from None
        yield server


def _address(channel: Channel) -> SplitResult:
    assert channel.address is not None
    return urlsplit(channel.address.value.get_secret_value())


def _sender(channel: Channel) -> str:
    user = unquote(_address(channel).username or "")
    return user if "@" in user else f"cio-etl@{socket.getfqdn()}"
