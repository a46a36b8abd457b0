"""`"*"` takes all other columns of a source: how it is written, what it makes, and its faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cio_etl.cli import main
from cio_etl.config import canonical, describe_change, load_mapping, source_columns, with_columns
from cio_etl.config.other_columns import snake_case
from cio_etl.errors import ConfigError, SourceError
from cio_etl.model import Column, Constant, Mapping

Read = Callable[[str], Mapping]

HEAD = "operation: identify\nidentifiers: {id: id}\nattributes:\n"


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    monkeypatch.chdir(tmp_path)

    def write_and_read(text: str) -> Mapping:
        Path("m.yaml").write_text(text, encoding="utf-8")
        return load_mapping(Path("m.yaml"))

    return write_and_read


def test_every_column_that_no_value_reads_becomes_an_attribute(read: Read) -> None:
    mapping = read(
        HEAD
        + '  mail: {columns: [a, b], apply: [coalesce]}\n  net: {expr: "gross - tax"}\n'
        + '  "*": {except: [secret, "internal_*"], rename: snake_case, prefix: crm_, on_error: omit, nulls: clear}\n'
        + "order_by: updated_at\nwhen: \"status <> 'test'\"\n"
    )
    columns = ["id", "a", "b", "gross", "tax", "secret", "internal_x", "First Name", "updated_at", "status"]
    plain = with_columns(mapping, source_columns(mapping, columns, None).taken)
    added = {"crm_first_name": "First Name", "crm_updated_at": "updated_at", "crm_status": "status"}
    targets = {f"attributes.{name}": Column(column) for name, column in added.items()}
    assert plain.targets == {**mapping.targets, **targets}
    assert plain.on_error == dict.fromkeys(targets, None) and plain.nulls_of == dict.fromkeys(targets, "clear")
    assert plain.other_columns is None and plain.digest != mapping.digest
    assert {plain.places[target] for target in targets} == {"m.yaml:6"}


def test_other_columns_have_the_mapping_s_on_error_and_nulls(read: Read) -> None:
    mapping = read(HEAD + '  "*": {}\nnulls: clear\non_error: {value: none}\n')
    plain = with_columns(mapping, ["a"])
    assert plain.on_error == {"attributes.a": Constant("none")}
    assert plain.nulls_at("attributes.a") == "clear" and not plain.nulls_of


def test_columns_are_new_if_no_run_has_seen_them_and_gone_if_one_has(read: Read) -> None:
    mapping = read(HEAD + '  "*": {except: [c]}\n')
    first = source_columns(mapping, ["id", "a", "c"], None)
    assert (first.taken, first.new, first.gone, first.known) == (("a",), (), (), ("id", "a", "c"))
    second = source_columns(mapping, ["id", "b", "c"], first.known)
    assert (second.taken, second.new, second.gone) == ((), ("b",), ("a",))
    assert second.known == ("a", "id", "c")  # a new column stays new until somebody decides
    assert source_columns(mapping, ["id", "a", "b", "c"], second.known).taken == ("a",)
    takes = read(HEAD + '  "*": {except: [c], new_columns: take}\n')
    third = source_columns(takes, ["id", "b", "c"], second.known)
    assert (third.taken, third.new) == (("b",), ("b",)) and "b" in third.known
    assert source_columns(read(HEAD + '  "*": {}\n'), ["id", "c"], first.known).taken == ("c",)  # it was there


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("firstName", "first_name"),
        ("First name", "first_name"),
        ("HTTPServer2", "http_server2"),
        (" Größe (cm) ", "größe_cm"),
        ("a__b-C", "a_b_c"),
        ("ID", "id"),
        ("%%", ""),
    ],
)
def test_snake_case_is_the_words_in_small_letters(text: str, name: str) -> None:
    assert snake_case(text) == name


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ('  "*":', "m.yaml:4: attributes['*']: empty; write {} to take all"),
        ('  "*": all', "m.yaml:4: attributes['*']: must be keys with values"),
        ('  "*": {exclude: [a]}', "m.yaml:4: attributes['*'].exclude: write the columns to leave out as except:"),
        ('  "*": {excpt: [a]}', "m.yaml:4: attributes['*'].excpt: unknown key; did you mean 'except'?"),
        ('  "*": {rename: camel}', "m.yaml:4: attributes['*'].rename: must be 'snake_case'"),
        ('  "*": {on_error: }', "m.yaml:4: attributes['*'].on_error: empty; write reject"),
        ('  a: {column: "*"}', 'm.yaml:4: attributes.a: * is no column; name each column, or write "*": {}'),
    ],
)
def test_what_is_wrong_with_the_star_is_told_with_its_line(read: Read, attributes: str, fault: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(HEAD + attributes + "\n")
    assert [str(problem)[: len(fault)] for problem in error.value.problems] == [fault]


def test_a_device_and_a_relationship_have_no_star(read: Read) -> None:
    with pytest.raises(ConfigError) as error:
        read(
            "operation: add_device\nidentifiers: {id: id}\ndevice:\n  token: t\n  platform: p\n"
            '  attributes:\n    "*": {except: [a]}\n'
        )
    (problem,) = error.value.problems
    assert (problem.line, problem.path) == (
        7,
        "device.attributes['*']",
    ) and "name each attribute here" in problem.message


@pytest.mark.parametrize(
    ("star", "columns", "fault"),
    [
        ("{rename: snake_case}", ["aB", "a b"], "the columns 'aB' and 'a b' would both be the attribute 'a_b'"),
        (
            "{rename: snake_case}",
            ["PLAN"],
            "column 'PLAN' would be the attribute 'plan', which the mapping has already",
        ),
        ("{rename: snake_case}", ["%%"], "column '%%' has no letters or digits"),
        ("{}", ["*"], "column '*' has a name that a mapping uses for something else"),
        ("{}", ["${vars.a}"], "column '${vars.a}' has a name that a mapping uses for something else"),
        ("{prefix: '*', rename: snake_case}", ["_ _"], "column '_ _' has no letters or digits"),
        ("{}", ["_update"], "column '_update': '_update' is reserved by Customer.io"),
        ("{on_error: {value: none}}", ["email"], "would be refused as attributes.email (email_malformed)"),
        ("{except: [pasword_hash]}", ["password_hash"], "no column 'pasword_hash' to leave out; did you mean"),
        ("{}", [str(number) for number in range(301)], "302 attributes; Customer.io takes 300 a call"),
    ],
)
def test_columns_that_cannot_be_attributes_are_told_with_the_line_of_the_star(
    read: Read, star: str, columns: list[str], fault: str
) -> None:
    mapping = read(f'{HEAD}  plan: p\n  "*": {star}\n')
    with pytest.raises(SourceError, match=r"m\.yaml:5: attributes") as error:
        with_columns(mapping, source_columns(mapping, ["id", "p", *columns], None).taken)
    assert fault in str(error.value) and error.value.remedy


def test_a_change_of_the_star_is_a_change_of_the_mapping(read: Read) -> None:
    before, after = read(HEAD + '  "*": {except: [a, b]}\n'), read(HEAD + '  "*": {except: [b, a]}\n')
    assert canonical(before) == canonical(after)
    after = read(HEAD + '  "*": {except: [a], prefix: x_}\n')
    assert describe_change(canonical(before), canonical(after)) == (
        "attributes['*'].except changed; attributes['*'].prefix changed"
    )


def test_a_mirror_cannot_unset_attributes_that_are_not_named(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    read(HEAD + '  "*": {}\n')
    Path("rows.csv").write_text("id,a\n1,x\n")
    step = {"name": "s", "source": {"csv": "rows.csv"}, "mapping": "m.yaml", "sync": "mirror", "when_gone": "unset"}
    job = {"destination": {"site_id": "${S}", "api_key": "${K}"}, "steps": [step]}
    Path("job.yaml").write_text(json.dumps(job))
    assert main(["check", "job.yaml"]) == 78
    assert "which `*` does not say; write when_gone: {set:" in capsys.readouterr().err


def test_check_expand_prints_the_plain_form(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    read(
        HEAD
        + '  plan: plan\n  "*": {except: secret, rename: snake_case, on_error: omit}\n'
        + 'examples:\n  - {row: {id: "1", plan: p, Age: 7}, payload: {type: person, action: identify, '
        + 'identifiers: {id: "1"}, attributes: {plan: p, age: 7}}}\n'
    )
    Path("rows.csv").write_text('id,plan,secret,firstName,"00:1 #"\n1,p,s,a,b\n')
    job = {
        "destination": {"site_id": "${S}", "api_key": "${K}"},
        "steps": [{"name": "s", "source": {"csv": "rows.csv"}, "mapping": "m.yaml"}],
    }
    Path("job.yaml").write_text(json.dumps(job))
    assert main(["check", "job.yaml", "m.yaml"]) == 0
    capsys.readouterr()
    assert main(["check", "--expand", "job.yaml"]) == 0
    plain_job, plain_mapping = capsys.readouterr().out.split("---\n")
    assert plain_job.startswith("# job.yaml\n")
    assert plain_mapping == (
        "# m.yaml, step s\noperation: identify\nidentifiers: {id: id}\nattributes:\n  plan: plan\n"
        "  first_name: {column: firstName, on_error: omit}\n"
        '  00_1: {column: "00:1 #", on_error: omit}\n'
    ).replace("  00_1:", '  "00_1":')
    assert read(plain_mapping).targets == {
        "identifiers.id": Column("id"),
        "attributes.plan": Column("plan"),
        "attributes.first_name": Column("firstName"),
        "attributes.00_1": Column("00:1 #"),
    }
