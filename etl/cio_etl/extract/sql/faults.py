"""Turns errors of databases into errors of this program: their own words may show data, passwords and addresses.

Only words about tables, columns and syntax are repeated: SQLSTATE class 42, and its like in other databases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cio_etl.errors import EtlError, SourceError, SourceRefused, SourceUnreachable
from cio_etl.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error of a driver; "" for what the driver does not give."""

    code: str = ""  # SQLSTATE, or the database's own number
    words: str = ""  # of the server, may hold data
    connected: bool = True


@contextmanager
def reworded(place: str, database: str, of: Callable[[Exception], Complaint]) -> Iterator[None]:
    """Raises an EtlError without data in place of whatever the driver raises in the block."""
    try:
        yield
    except EtlError:
        raise
    except Exception as error:
        raise complaint_to_error(of(error), place, database) from None


_PASSWORD = re.compile(
    r"password authentication|authentication failed|no password supplied|access denied|login failed|incorrect username"
    r"|invalid (user|credentials|token)|unauthorized|role \S+ does not exist|not permitted to log in",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"terminating connection|connection.*(closed|lost|reset|refused|broken)|server closed|gone away|broken pipe"
    r"|connection was killed|EOF|recovery mode|starting up|shutting down",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"statement timeout|max_statement_time|execution time|timed? ?out|idle.in.transaction", re.IGNORECASE
)
_NAMES = {"42P01": "table", "42703": "column", "42S02": "table", "42S22": "column", "1146": "table", "1054": "column"}
_RIGHTS = {"42501", "1142", "1143", "1044", "1227"}
_READ_ONLY = {"25006", "1792", "1290"}


def complaint_to_error(complaint: Complaint, place: str, database: str) -> EtlError:
    """The error of this program for an error of the database while `place` was read."""
    code = complaint.code
    words = (
        complaint.words if not code or not complaint.connected else ""
    )  # not needed beside a code, and may hold data
    if code.startswith("28") or code in ("1045", "1698") or _PASSWORD.search(words):
        return SourceRefused("renew the user or password in the job's reference", place=database)
    if not complaint.connected:
        reason, remedy = _reason(words)
        return SourceUnreachable(remedy, place=database, what=reason)
    if code in _RIGHTS:
        return SourceError(
            "grant select on it to the job's user", place=place, what="the database's user may not read it"
        )
    if code in _READ_ONLY:
        return SourceError(
            "leave a query that only reads", place=place, what="the query would write, and is run read-only"
        )
    if code in _NAMES or code.startswith(("42", "3F", "3D")) or code in ("1064", "1049"):
        words = _one_line(complaint.words)
        return SourceError(
            "fix the query, or the table", place=place, what=f"the database does not understand it: {words}"
        )
    if code in ("57014", "25P03", "25P04", "1969", "3024") or _TIME.search(words):
        return SourceError(
            "raise its time-out, or ask for less at a time", place=place, what="the database stopped it: a time-out"
        )
    if code == "40001":  # of a standby: rows that the query needed were removed
        return SourceError(
            "run it again; raise max_standby_streaming_delay if this returns",
            place=place,
            what="the database stopped it: its replication could not wait for the query",
        )
    if code.startswith(("08", "57P")) or code in ("2006", "2013", "1927") or _GONE.search(words):
        return SourceUnreachable(place=database, what="the connection was lost while rows were read")
    shown_code = f" (code {code})" if re.fullmatch(r"[0-9A-Z]{1,10}", code) else ""
    return SourceError(
        "try the query in the database", place=place, what=f"the database failed while it was read{shown_code}"
    )


_UNKNOWN_DATABASE = ("it has no database of that name", "fix the database's name in the job's reference")
_UNKNOWN_HOST = (
    "its host name has no address",
    "fix the host in the job's reference, or the name server of this machine",
)
_LATE = ("it did not answer in time", "check whether it runs, and whether a firewall is in between")
_FULL = ("it has too many connections", "run it again when fewer programs are connected, or let the server take more")
_BUSY = "run it again when the server is ready"


def _reason(words: str) -> tuple[str, str]:
    """Why there is no connection, and what to do about it."""
    words = words.lower()
    for sign, reason in (
        (
            "connection refused",
            ("it refused the connection", "check whether it runs, and the port in the job's reference"),
        ),
        (
            "pg_hba.conf",
            (
                "it takes no such connection from this machine (pg_hba.conf); without TLS, perhaps",
                "let the server's pg_hba.conf take it, or add sslmode=require to the job's reference",
            ),
        ),
        ("permission denied", ("its user may not connect to it", "grant connect on the database to the job's user")),
        ("translate host", _UNKNOWN_HOST),
        ("name or service", _UNKNOWN_HOST),
        ("getaddrinfo", _UNKNOWN_HOST),
        ("unknown database", _UNKNOWN_DATABASE),
        ("timeout", _LATE),
        ("timed out", _LATE),
        ("ssl", ("it and this program do not agree on TLS", "fix sslmode and the certificates in the job's reference")),
        ("certificate", ("its certificate is not trusted", "name the file of its authority in the job's reference")),
        (
            "percent-encoded",
            ("its address cannot be read", "in the job's reference, write signs of a password as %40 for @, %2F for /"),
        ),
        ("too many connections", _FULL),
        ("too many clients", _FULL),
        ("connection slots", _FULL),
        ("starting up", ("it is starting up, or recovering", _BUSY)),
        ("shutting down", ("it is shutting down", _BUSY)),
    ):
        if sign in words:
            return reason
    if re.search(r"database .* does not exist", words):
        return _UNKNOWN_DATABASE
    return "no connection", "check whether it runs, and whether this machine can reach it"


def _one_line(words: str) -> str:
    """The first line of the server's message about names or syntax, without literals; at most 200 characters."""
    line = next((line for line in words.splitlines() if line.strip()), "")
    line = re.sub(r"near \"(?:[^\w\s]*'|\d).*", "near a value", line)  # near "'something"
    return "".join(sign if sign.isprintable() else " " for sign in line).strip()[:200]
