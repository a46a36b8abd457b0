"""What `make release-check` concludes from what its tools print."""

from __future__ import annotations

from typing import Any

import pytest

from tests.release.check import Failed, audit_words


def package(name: str, *vulnerabilities: str) -> dict[str, Any]:
    return {"name": name, "version": "1", "vulns": [{"id": each} for each in vulnerabilities]}


def unknown(name: str) -> dict[str, Any]:
    return {"name": name, "version": "1", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("audited", "words"),
    [
        ([package("click"), package("httpx"), unknown("cio-etl")], "audited: 2 packages without known vulnerabilities"),
        (
            [unknown("click"), unknown("httpx"), unknown("cio-etl")],
            "not audited: the service that pip-audit asked knows none of the 2 packages",
        ),
        (
            [package("click"), unknown("httpx")],
            "audited: 1 packages without known vulnerabilities; not audited: httpx",
        ),
    ],
)
def test_what_was_not_audited_is_not_called_free_of_vulnerabilities(audited: list[dict[str, Any]], words: str) -> None:
    assert audit_words(audited) == words


def test_a_known_vulnerability_fails() -> None:
    with pytest.raises(Failed, match=r"(?m)^httpx 1: CVE-1, CVE-2$"):
        audit_words([unknown("click"), package("httpx", "CVE-1", "CVE-2")])
