"""The file of a lookup is read strictly, and the secret of a function is looked up only for a run."""

from __future__ import annotations

import dataclasses
import hmac
import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from cio_etl.config import canonical, describe_change, load_job, load_mapping, require_secrets, stand_ins
from cio_etl.config.function_arguments import MAX_LOOKUP_BYTES
from cio_etl.errors import ConfigError
from cio_etl.model import Column, Job
from cio_etl.run import Caller, RunOptions, run_job
from tests.mapped_rows import rows, sent

CANARY = "canary-9c1e"
HMAC = "operation: identify\nidentifiers: {id: id}\nattributes: {token: {column: id, apply: [{hmac: '${SHOP_KEY}'}]}}\n"
LOOKUP = "{lookup: {file: countries.csv, key: code, value: name}}"
MAPPING = f"operation: identify\nidentifiers: {{id: id}}\nattributes:\n  country: {{column: c, apply: [{LOOKUP}]}}\n"
COUNTRIES = "code,name,more\nFR,France,x\nDE,Germany,y\n"


def written(text: str, name: str = "m.yaml") -> Path:
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def problems_of(mapping: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_mapping(written(mapping))
    return [str(problem) for problem in error.value.problems]


# ---------------------------------------------------------------- a lookup's file


def test_a_lookup_returns_the_values_of_its_file() -> None:
    written('\ufeffname,code\n"Côte d\'Ivoire, the",CI\r\n\nFrance,FR\n', "countries.csv")
    mapping = load_mapping(written(MAPPING))
    assert sent(mapping, rows({"c": ["CI", "FR", "fr", None]})) == [
        {"country": "Côte d'Ivoire, the"},
        {"country": "France"},
        ("lookup_unmatched", "attributes.country"),
        {},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no file 'countries.csv'; relative paths start at the folder in which the command runs"),
        ("", "the file 'countries.csv' has no header line"),
        ("cod,name\nFR,France\n", "the file 'countries.csv' has no column 'code'; did you mean 'cod'?"),
        ("code,code,name\nFR,FR,France\n", "the file 'countries.csv' has two columns 'code'; name them differently"),
        ("code,name\n", "the file 'countries.csv' has no line below its header"),
        (f"code,name\nFR,{CANARY}\n\nFR,x\n", "countries.csv:4: the key of line 2 again; keep one of the two"),
        (f"code,name\nFR,{CANARY},3\n", "countries.csv:2: 3 fields, and 2 names in the header; fix the line"),
        (f"code,name\n,{CANARY}\n", "countries.csv:2: the key is empty; fill it in, or remove the line"),
        (f"code,name\n{CANARY},\n", "countries.csv:2: the value is empty; fill it in, or remove the line"),
        (f'code,name\nFR,"{CANARY}\n', "countries.csv:2: not CSV: a quote is misplaced or not closed"),
        ("code,name\n" + "x" * MAX_LOOKUP_BYTES, "the file 'countries.csv' is larger than 10,000,000 bytes"),
    ],
)
def test_a_malformed_lookup_file_is_refused_with_its_line_and_without_its_content(
    content: str | None, message: str
) -> None:
    if content is not None:
        written(content, "countries.csv")
    (problem,) = problems_of(MAPPING)
    assert problem == f"m.yaml:4: attributes.country.apply[0]: lookup: {message}"
    assert CANARY not in problem


def test_a_lookup_file_that_is_not_utf_8_is_refused() -> None:
    Path("countries.csv").write_bytes("code,name\nCI,Côte\n".encode("latin-1"))
    assert problems_of(MAPPING) == [
        "m.yaml:4: attributes.country.apply[0]: lookup: the file 'countries.csv' is not UTF-8"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{file: countries.csv, key: code}", "'value' is missing, text"),
        ("{file: 's3://x/c.csv', key: code, value: name}", "'file' must be the path of a CSV file on this machine"),
        ("{file: countries.csv, key: code, value: name, table: x}", "unknown argument 'table'; did you mean 'value'?"),
        ("{file: countries.csv, key: code, value: name, separator: '||'}", "'separator' must be one ASCII character"),
        (
            "{file: countries.csv, key: code, value: name, default: x, optional: true}",
            "give 'default' or 'optional', one of the two",
        ),
    ],
)
def test_a_wrong_argument_of_a_lookup_is_reported(arguments: str, message: str) -> None:
    written(COUNTRIES, "countries.csv")
    (problem,) = problems_of(MAPPING.replace(LOOKUP, f"{{lookup: {arguments}}}"))
    assert problem.startswith(f"m.yaml:4: attributes.country.apply[0]: lookup: {message}")


@pytest.mark.parametrize(
    ("content", "same"),
    [
        (COUNTRIES, True),
        ("more,name,code\n,Germany,DE\n,France,FR\n", True),  # the same entries, from other lines and columns
        (COUNTRIES.replace("France", "La France"), False),
        (COUNTRIES + "IT,Italy,z\n", False),
    ],
)
def test_the_content_of_a_lookup_file_is_in_the_digest_of_the_mapping(content: str, same: bool) -> None:
    written(COUNTRIES, "countries.csv")
    before = load_mapping(written(MAPPING))
    written(content, "countries.csv")
    after = load_mapping(written(MAPPING))
    assert (before.digest == after.digest) is same
    change = describe_change(canonical(before), canonical(after))
    assert change == ("" if same else "attributes.country.apply changed")
    assert "France" not in canonical(before) + repr(before)


# ---------------------------------------------------------------- a secret's reference


def job(environ: dict[str, str], secrets: bool = True, mapping: str = HMAC) -> Job:
    written(mapping)
    text = (
        "destination: {site_id: '${S}', api_key: '${K}'}\nsteps: [{name: p, source: {csv: p.csv}, mapping: m.yaml}]\n"
    )
    return load_job(written(text, "j.yaml"), {"S": "s", "K": "k"} | environ, secrets=secrets)


def token(of: Job) -> str:
    (made,) = sent(of.steps[0].mapping, rows({"id": ["7"]}))
    return str(made["token"])


def test_a_run_looks_up_a_secret_and_shows_it_nowhere() -> None:
    loaded = job({"SHOP_KEY": CANARY})
    mapping = loaded.steps[0].mapping
    assert token(loaded) == hmac.digest(CANARY.encode(), b"7", "sha256").hex()
    assert stand_ins(mapping) == []
    assert CANARY not in repr(loaded) + str(dataclasses.asdict(mapping)) + canonical(mapping)


def test_a_check_needs_no_secret_and_produces_other_values() -> None:
    loaded = job({}, secrets=False)
    assert stand_ins(loaded.steps[0].mapping) == ["${SHOP_KEY}"]
    assert token(loaded) == hmac.digest(b"${SHOP_KEY}", b"7", "sha256").hex()
    assert job({"SHOP_KEY": CANARY}, secrets=False) == loaded  # whether it is set or not


def test_the_digest_contains_the_reference_of_a_secret_but_not_the_secret() -> None:
    one, other = (job({"SHOP_KEY": key}).steps[0].mapping for key in ("a", "b"))
    unresolved = load_mapping(Path("m.yaml"))
    renamed = load_mapping(written(HMAC.replace("SHOP_KEY", "OTHER_KEY")))
    assert canonical(one) == canonical(other) == canonical(unresolved)
    assert one.digest == unresolved.digest != renamed.digest
    assert json.loads(canonical(one))["attributes"]["token"]["apply"] == [["hmac", {"key": "${SHOP_KEY}"}]]


def test_a_missing_secret_of_a_function_is_reported_with_its_place() -> None:
    with pytest.raises(ConfigError) as error:
        job({})
    assert [str(problem) for problem in error.value.problems] == [
        "m.yaml:3: attributes.token.apply[0]: hmac: the environment variable SHOP_KEY is not set; "
        "set it, or name its file with --env-file"
    ]


def test_missing_secrets_are_reported_with_the_places_of_names_with_dots_and_of_relationships() -> None:
    call = "{column: id, apply: [trim, {hmac: '${SHOP_KEY}'}]}"
    text = (
        f"operation: identify\nidentifiers: {{id: id}}\nattributes:\n  plan: plan\n  token.v.1: {call}\n"
        f"relationships:\n  - object:\n      type: 1\n      id: {call}\n    attributes:\n      a.b: {call}\n"
    )
    with pytest.raises(ConfigError) as error:
        job({}, mapping=text)
    fault = "hmac: the environment variable SHOP_KEY is not set; set it, or name its file with --env-file"
    assert [str(problem) for problem in error.value.problems] == [
        f"m.yaml:5: attributes['token.v.1'].apply[1]: {fault}",
        f"m.yaml:9: relationships[0].object.id.apply[1]: {fault}",
        f"m.yaml:11: relationships[0].attributes['a.b'].apply[1]: {fault}",
    ]


def test_values_made_without_their_secret_are_not_sent_to_customer_io() -> None:
    unresolved = job({}, secrets=False)
    with pytest.raises(ConfigError) as error:
        run_job(unresolved, RunOptions(), Caller())
    assert str(error.value) == "m.yaml: hmac: ${SHOP_KEY} was not looked up; load the job with its secrets"
    here = dataclasses.replace(unresolved.destination, base_url="http://127.0.0.1:8080")
    require_secrets(dataclasses.replace(unresolved, destination=here))  # a sandbox
    require_secrets(job({"SHOP_KEY": CANARY}))


def test_a_secret_can_be_read_from_a_file() -> None:
    written("from-a-file\n", "key")
    assert (
        token(job({}, mapping=HMAC.replace("SHOP_KEY", "file:key")))
        == hmac.digest(b"from-a-file", b"7", "sha256").hex()
    )


@pytest.mark.parametrize("key", [CANARY, f"${{SHOP_KEY:-{CANARY}}}", f"x${{{CANARY}}}"])
def test_a_secret_in_plain_text_is_refused_without_showing_it(key: str) -> None:
    (problem,) = problems_of(HMAC.replace("${SHOP_KEY}", key))
    assert problem.startswith("m.yaml:3: attributes.token.apply[0]: hmac: secrets are references only")
    assert CANARY not in problem


def test_a_secret_is_looked_up_wherever_the_function_is_used() -> None:
    text = HMAC.replace("{id: id}", "{id: {column: id, apply: [{hmac: '${SHOP_KEY}'}]}}")
    mapping = job({"SHOP_KEY": "k"}, mapping=text).steps[0].mapping
    for value in (mapping.targets["identifiers.id"], mapping.targets["attributes.token"]):
        assert isinstance(value, Column)
        assert isinstance(value.apply[0].arguments["secret"], SecretStr)
