"""An API is described in its own folder only: no other file compares its name, and its keys are those of YAML."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import cio_etl
from cio_etl.airflow import get_provider_info
from cio_etl.apis import APIS, Api, get
from cio_etl.config.job_sections import DestinationYaml
from cio_etl.config.mapping_sections import ExampleYaml

HOUSE = Path(cio_etl.__file__).parent


def test_no_file_outside_an_api_s_folder_compares_the_name_of_an_api() -> None:
    comparisons = [
        f"{path.relative_to(HOUSE)}:{node.lineno}"
        for path in HOUSE.rglob("*.py")
        if "sandbox" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
        if (isinstance(side, ast.Name) and side.id == "api") or (isinstance(side, ast.Attribute) and side.attr == "api")
        for other in (node.left, *node.comparators)
        if isinstance(other, ast.Constant) and isinstance(other.value, str)
    ]
    assert comparisons == []


@pytest.mark.parametrize("api", APIS.values(), ids=APIS)
def test_the_keys_that_an_api_names_are_keys_of_job_and_example(api: Api) -> None:
    assert {*api.credentials} <= DestinationYaml.model_fields.keys()
    assert api.workspace_key in api.credentials
    assert api.example_key in ExampleYaml.model_fields
    assert api.hosts.keys() == {"us", "eu"}


def test_the_form_of_an_airflow_connection_has_a_field_for_each_credential_of_each_api() -> None:
    """The form is plain data, because the records load polars, which Airflow must not; the first API has the login."""
    (form,) = get_provider_info()["connection-types"]
    first, *others = APIS.values()
    labels = [form["ui-field-behaviour"]["relabeling"][field] for field in ("login", "password")]
    assert [label.lower().replace(" ", "_") for label in labels] == [*first.credentials]
    assert [*form["conn-fields"]] == [key for api in others for key in api.credentials]
    assert all(key.endswith("_key") for key in form["conn-fields"])  # which the hook reads from the extra


@pytest.mark.parametrize("name", [None, 7, ["track"], "other"])
def test_a_name_of_no_api_is_read_as_the_default_api(name: object) -> None:
    assert get(name) is APIS["track"]
    assert get("pipelines") is APIS["pipelines"]
