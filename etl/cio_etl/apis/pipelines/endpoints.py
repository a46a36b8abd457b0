"""The endpoint of the Pipelines API, and what its answers mean.

Source: Customer.io's Pipelines API reference (`POST /v1/batch`). Without strict mode it answers 200 to everything, also
to a wrong key and an invalid call; in strict mode it answers 401 and 400. No answer names an item, so a batch that is
refused is halved.
"""

from __future__ import annotations

from collections.abc import Mapping

from cio_etl.apis.answers import as_object, by_status, meta_errors, reports_errors, unreadable
from cio_etl.apis.api import Endpoint
from cio_etl.model import Accepted, Split, Verdict

HOSTS = {"us": "https://cdp.customer.io", "eu": "https://cdp-eu.customer.io"}
RENEWAL = "renew what destination.write_key refers to: the write key of a Pipelines source of the workspace"
STRICT = {"X-Strict-Mode": "1"}


def judge(status: int, headers: Mapping[str, str], body: bytes, items: int, host: str) -> Verdict:
    """What the answer to a batch means. `headers` has lower-case names."""
    if (verdict := by_status(status, headers, host, RENEWAL)) is not None:
        return verdict
    content = as_object(body)
    if content is None:
        return unreadable(status)
    if status == 400:
        return Split("http_400", meta_errors(content))
    if status == 207 or reports_errors(content):  # not documented: what was accepted is unknown
        return Split("answer_unreadable", meta_errors(content), ambiguous=True)
    return Accepted()


BATCH = Endpoint("/v1/batch", judge, headers=STRICT)
