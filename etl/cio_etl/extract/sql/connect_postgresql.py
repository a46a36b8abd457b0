"""Connects to PostgreSQL by ADBC, with what the driver knows of a database's types from an earlier connection.

Before it connects, the driver reads the columns of all tables, since each table is a type: 0.5 s of CPU where there
are 2,000 tables of 20 columns, and 25 ms in an empty database. So its handle stays for the next step, for the estimate
of `validate`, for the next run of this process. It has no connection of its own.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote, urlencode

import adbc_driver_postgresql
import adbc_driver_postgresql.dbapi as adbc
from adbc_driver_manager import AdbcConnection, AdbcDatabase
from sqlalchemy import URL

_CONNECTING = {  # unless the address sets them: a dead server is noticed in a minute, not in hours
    "application_name": "cio-etl",
    "connect_timeout": "20",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
# The same only in one database of one server process, where no number of a type means another type later.
_WHICH = """SELECT (oid || ' ' || pg_catalog.pg_postmaster_start_time())::text
    FROM pg_catalog.pg_database WHERE datname = current_database()"""


class Handle:
    """The driver's, of one address: it knows the types that the database had when it was made."""

    def __init__(self, address: str) -> None:
        self._database = adbc_driver_postgresql.connect(address)
        self._which = ""

    def connect(self) -> adbc.Connection:
        return adbc.Connection(cast(AdbcDatabase, _Lasting()), AdbcConnection(self._database))

    def is_of(self, cursor: Any) -> bool:
        """Whether this is the database whose types it knows: an address can lead to another server by now."""
        cursor.execute(_WHICH)
        (which,) = cursor.fetchone()
        self._which = self._which or which
        return bool(which == self._which)


class _Lasting:
    """In place of the handle, for a connection: it would close the handle with itself."""

    def close(self) -> None:
        pass


_handles: dict[str, Handle] = {}


def handle_of(address: str) -> tuple[Handle, bool]:
    """The handle of an address, and whether it was made for this call."""
    if (kept := _handles.get(address)) is not None:
        return kept, False
    made = _handles[address] = Handle(address)
    return made, True


def libpq_address(url: URL) -> str:
    """The address in libpq's form, in which `+` means a plus sign."""
    parts = url.username, None if url.password is None else str(url.password), url.database
    user, password, database = (quote(part or "", safe="") for part in parts)
    host = f"[{url.host}]" if url.host and ":" in url.host else quote(url.host or "", safe="")
    who = f"{user}{':' if password else ''}{password}@" if user or password else ""
    port = f":{url.port}" if url.port else ""
    options = urlencode(list({**_CONNECTING, **url.query}.items()), doseq=True, quote_via=quote)
    return f"postgresql://{who}{host}{port}/{database}?{options}"
