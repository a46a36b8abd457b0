"""What the peers share: their arguments, and the code that turns a CSV row into an event."""

from __future__ import annotations

import argparse
import csv
import json
import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

ITEMS_A_REQUEST = 1_500  # some 455 kB: the largest round number below Track v2's 500,000 B


@dataclass(frozen=True, slots=True)
class Asked:
    """What a peer is asked to do."""

    data: Path
    url: str
    rows: int
    ca: Path | None

    def sent(self, rows: int) -> None:
        """Print how many rows were acknowledged; end with status 1 when it isn't all of them."""
        print(rows)
        if rows != self.rows:
            sys.exit(f"{rows} rows sent, {self.rows} asked for")


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("data", type=Path)
    arguments.add_argument("url")
    arguments.add_argument("--rows", type=int, required=True)
    arguments.add_argument("--ca", type=Path)
    return arguments


def asked(arguments: argparse.Namespace) -> Asked:
    """The arguments as a record; the CA is in the environment too, since both SDKs have no setting for it."""
    if arguments.ca is not None:
        os.environ["REQUESTS_CA_BUNDLE"] = str(arguments.ca)
    return Asked(arguments.data, arguments.url, arguments.rows, arguments.ca)


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def ordered_at(row: dict[str, str]) -> datetime:
    return datetime.fromisoformat(row["ordered_at"])


def attributes(row: dict[str, str]) -> dict[str, Any]:
    """The row's attributes with their types; empty cells are left out."""
    values: dict[str, Any] = {
        "order_id": int(row["order_id"]),
        "status": row["status"],
        "channel": row["channel"],
        "city": row["city"],
        "currency": row["currency"],
        "product": row["product"],
        "items": int(row["items"]),
        "total": float(row["total"]),
        "shipping": float(row["shipping"]),
        "gift": row["gift"] == "true",
    }
    if row["coupon"]:
        values["coupon"] = row["coupon"]
    if row["note"]:
        values["note"] = row["note"]
    return values


def event(customer_id: str, timestamp: int, values: dict[str, Any]) -> dict[str, Any]:
    """An item of a Track v2 batch."""
    return {
        "type": "person",
        "action": "event",
        "identifiers": {"id": customer_id},
        "name": "order_placed",
        "timestamp": timestamp,
        "attributes": values,
    }


def events(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file as items of a Track v2 batch."""
    for row in read_csv(path):
        yield event(row["customer_id"], int(ordered_at(row).timestamp()), attributes(row))


def post(client: httpx.Client, url: str, items: list[dict[str, Any]]) -> None:
    """Post a Track v2 batch, as compact text: with json.dumps' spaces 1,500 items are more than 500,000 B."""
    body = json.dumps({"batch": items}, separators=(",", ":"))
    client.post(f"{url}/api/v2/batch", content=body, headers={"content-type": "application/json"}).raise_for_status()


@contextmanager
def http_client(ca: Path | None) -> Iterator[httpx.Client]:
    """A client as httpx's documents show it, with the private CA when there is one."""
    verify = True if ca is None else ssl.create_default_context(cafile=str(ca))
    with httpx.Client(auth=("site-id", "api-key"), verify=verify, timeout=30) as client:
        yield client
