"""TLS of webhooks and mail servers."""

from __future__ import annotations

import ssl

from cio_etl.model import Channel
from cio_etl.notify.not_sent import NotSent


def tls_context(channel: Channel) -> ssl.SSLContext:
    """Certificates are always verified; a private authority comes by its file. Raises NotSent."""
    try:
        return ssl.create_default_context(cafile=channel.ca_file)
    except (OSError, ssl.SSLError):
        raise NotSent(f"ca_file: {channel.ca_file} cannot be read as certificates") from None
