"""The fields of an Airflow connection, and the test of its credentials."""

from __future__ import annotations

import json
import re

import pytest
from conftest import API_KEY, SITE_ID, Shop, connect

from cio_etl.airflow.hook import CustomerIOHook
from cio_etl.airflow.operators import CustomerIORunOperator


def test_a_connection_is_variables_for_job_files(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"write_key": "w", "WAREHOUSE_URL": "sqlite:///a.db", "note": "not a variable", "EMPTY": ""}
    connect(monkeypatch, host="eu", extra=json.dumps(extra))
    assert CustomerIOHook().environment() == {
        "CUSTOMERIO_SITE_ID": SITE_ID,
        "CUSTOMERIO_API_KEY": API_KEY,
        "CUSTOMERIO_WRITE_KEY": "w",
        "CUSTOMERIO_REGION": "eu",
        "WAREHOUSE_URL": "sqlite:///a.db",
    }


def test_other_connections_are_addresses_of_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://me:p%40ss@db.example:5432/shop?sslmode=require")
    run = CustomerIORunOperator(task_id="run", job="j.yaml", connections={"WAREHOUSE_URL": "warehouse"})
    assert run._environment()["WAREHOUSE_URL"] == "postgresql://me:p%40ss@db.example:5432/shop?sslmode=require"


def test_a_connection_that_customer_io_takes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, host=shop.sandbox.url)
    taken, words = CustomerIOHook().test_connection()
    assert taken, words
    assert re.fullmatch(r"127\.0\.0\.1:\d+ accepts the credentials, which belong to the region us", words)


@pytest.mark.parametrize(
    ("key", "host", "said"),
    [
        ("wrong", None, r"127\.0\.0\.1:\d+ refused the credentials \(HTTP 401\).*"),
        ("", None, "there is neither an API key nor a write key"),
        (API_KEY, "https://evil.example", "the region is us, eu or auto; as an address: credentials are sent to .*"),
        (API_KEY, "http://127.0.0.1:9", r"127\.0\.0\.1:9 is out of reach: .*"),
    ],
)
def test_a_connection_that_is_not_taken(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, key: str, host: str | None, said: str
) -> None:
    connect(monkeypatch, key, host=host or shop.sandbox.url)
    taken, words = CustomerIOHook().test_connection()
    assert not taken and re.fullmatch(said, words), words
    assert "wrong" not in words
