"""Does `init` propose a right job for the exports of well-known products?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cio_etl.cli import main
from cio_etl.config import load_mapping
from cio_etl.model import Column, Mapping
from tests.propose.export_shapes import SHAPES, write


def column_of(value: object) -> str:
    """The column that a value of a mapping reads; with its path, where it is part of an object."""
    assert isinstance(value, Column)
    path = next((call.arguments["path"] for call in value.apply if call.name == "pick"), "")
    return f"{value.name}.{path}" if path else value.name


def proposed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[Mapping, dict[str, Any]]:
    """The mapping that `init` proposes, and the report of `validate` on its job, which `check` accepts."""
    assert main(["init", *arguments, "--name", "export"]) == 0, capsys.readouterr().err
    assert main(["check", "jobs/export.yaml"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    main(["validate", "--json", "jobs/export.yaml"])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return load_mapping(Path("mappings/export.yaml")), report["steps"][0]


@pytest.mark.parametrize("name", SHAPES)
def test_an_export_is_proposed_as_what_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shape = SHAPES[name]
    mapping, report = proposed(write(shape), capsys)
    assert mapping.operation == shape.operation
    assert {kind: column_of(value) for kind, value in mapping.part("identifiers").items()} == dict([shape.identifier])
    assert mapping.when == shape.when
    if shape.operation == "track":
        assert column_of(mapping.targets["timestamp"]) == shape.timestamp
        event = mapping.targets["event"]
        assert (column_of(event) if isinstance(event, Column) else "") == shape.event
        assert mapping.event_key == tuple(shape.event_key)
    else:
        attributes = {key: column_of(value) for key, value in mapping.part("attributes").items()}
        assert (attributes.get("created_at"), attributes.get("email")) == (shape.created_at, shape.email)
    text = Path("mappings/export.yaml").read_text()
    assert "people or events" not in text, "it must be decided"
    rows = len(shape.rows())
    accepted = rows if shape.accepted is None else shape.accepted
    assert (report["accepted"], report["rejected"]) == (accepted, 0), report["rejects"]


@pytest.mark.parametrize(
    ("name", "unsubscribed", "asked"),
    [
        ("intercom users", "Unsubscribed from Emails", ()),
        ("customer.io people", "unsubscribed", ()),
        ("klaviyo profiles", None, ("Email Marketing Consent",)),
        ("shopify customers", None, ("Accepts Email Marketing",)),
    ],
)
def test_who_wants_no_messages_is_unsubscribed_or_a_question(
    name: str, unsubscribed: str | None, asked: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    mapping, report = proposed(write(SHAPES[name]), capsys)
    attributes = {key: column_of(value) for key, value in mapping.part("attributes").items()}
    assert attributes.get("unsubscribed") == unsubscribed
    text = Path("mappings/export.yaml").read_text()
    assert [
        column for column in asked if f"attributes.{column}: who wants no messages?" not in text.replace('"', "")
    ] == []
    assert ("who wants no messages?" in text) == bool(asked)
    found = {finding["field"] for finding in report["findings"] if finding["code"] == "consent_not_mapped"}
    assert found - {"Accepts SMS Marketing"} == {*asked}
