"""Sends notices by HTTP: to Slack-compatible webhooks, and signed, as JSON.

No redirect is followed, no proxy is asked, certificates are verified. The answer's body is not read.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from cio_etl.model import Channel
from cio_etl.notify.not_sent import NotSent
from cio_etl.notify.notice import Notice
from cio_etl.notify.tls import tls_context

TIMEOUT_S = 5.0  # of each part of an attempt; send.py bounds the whole
ATTEMPTS, WAIT_S = 2, 1.0
SLACK_CHARACTERS = 3_000  # Slack cuts a longer text into parts

HEADERS = {"Content-Type": "application/json", "User-Agent": "cio-etl"}
SIGNATURE = "X-Signature-256"


class _Again(NotSent):
    """It may be sent a second time."""


def slack(channel: Channel, notice: Notice) -> None:
    """Sends the text. Raises NotSent."""
    text = f"*{_escaped(notice.title)}*\n{_escaped(notice.text)}"[:SLACK_CHARACTERS]
    _post(channel, _json({"text": text}), {})


def webhook(channel: Channel, notice: Notice) -> None:
    """Sends the summary, whose `sent_at` is signed with it: a receiver refuses an old one. Raises NotSent."""
    assert channel.secret is not None
    body = _json(notice.summary(int(time.time())))
    _post(channel, body, {SIGNATURE: f"sha256={signature(channel.secret.value.get_secret_value(), body)}"})


def signature(secret: str, body: bytes) -> str:
    """HMAC-SHA-256 of the body, in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _post(channel: Channel, body: bytes, headers: dict[str, str]) -> None:
    assert channel.address is not None
    url, verify = channel.address.value.get_secret_value(), tls_context(channel)
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=verify) as client:
        for attempt in Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_fixed(WAIT_S),
            retry=retry_if_exception_type(_Again),
            reraise=True,
        ):
            with attempt:
                _attempt(client, url, body, {**HEADERS, **headers})


def _attempt(client: httpx.Client, url: str, body: bytes, headers: dict[str, str]) -> None:
    try:
        with client.stream("POST", url, content=body, headers=headers) as answer:
            status = answer.status_code
    except httpx.ConnectError as error:
        raise (NotSent if "CERTIFICATE" in str(error) else _Again)(_words(error)) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # its words hold the address, and so its secret
        raise NotSent(_words(error)) from None
    if 300 <= status < 400:
        raise NotSent(f"HTTP {status}: a redirect, which is not followed")
    if status == 429 or status >= 500:
        raise _Again(f"HTTP {status}")
    if not 200 <= status < 300:
        raise NotSent(f"HTTP {status}")


def _words(error: Exception) -> str:
    """What went wrong, in words of our own: a library's may hold the address."""
    if "CERTIFICATE" in str(error):
        return "its certificate is not valid here"
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return f"no answer ({type(error).__name__})"


def _escaped(text: str) -> str:
    """The text without Slack's control characters: a name like <!channel> must not call everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace")
