"""References are replaced once, and no message contains what they mean."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cio_etl.config.references import resolve, resolve_address, resolve_secret

CANARY = "canary-7f3a"
ONLY = "secrets are references only"


@pytest.mark.parametrize(
    ("text", "environ", "meant"),
    [
        ("plain, $5 and {x}", {}, "plain, $5 and {x}"),
        ("${A}", {"A": "1"}, "1"),
        ("${A}/${B}.csv", {"A": "x", "B": "y"}, "x/y.csv"),
        ("${A:-.etl}", {}, ".etl"),
        ("${A:-.etl}", {"A": ""}, ".etl"),
        ("${A:-.etl}", {"A": "s"}, "s"),
        ("${A:-}", {}, ""),
        ("${A:-a:-b}", {}, "a:-b"),
        ("${A}", {"A": "${B}", "B": "never"}, "${B}"),
    ],
)
def test_a_reference_is_replaced_once(text: str, environ: dict[str, str], meant: str) -> None:
    assert resolve(text, environ) == meant


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_file_loses_its_last_line_break(tmp_path: Path, ending: str) -> None:
    (tmp_path / "key").write_bytes(f"abc{ending}".encode())
    assert resolve(f"${{file:{tmp_path / 'key'}}}", {}) == "abc"
    assert resolve_secret(f"${{file:{tmp_path / 'key'}}}", {}) == "abc"


def test_an_empty_variable_without_a_default_is_reported() -> None:
    for text in ("${A}", "${A}/people.csv"):
        with pytest.raises(ValueError) as error:
            resolve(text, {"A": ""})
        assert str(error.value) == (
            "the environment variable A is empty; set it, or unset it so that the value of an --env-file counts, "
            "or give it a default, ${A:-…}, if it is not a secret"
        )
    assert resolve("${A:-}/people.csv", {"A": ""}) == "/people.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${A", "`${` begins a reference: ${NAME}, ${NAME:-default} or ${file:/run/secrets/key}"),
        ("${A:-${B}}", "`${` begins a reference: ${NAME}, ${NAME:-default} or ${file:/run/secrets/key}"),
        ("${}", "not a reference; write ${NAME}, ${NAME:-default} or ${file:/run/secrets/key}"),
        ("${env:A}", "not a reference; write ${NAME}, ${NAME:-default} or ${file:/run/secrets/key}"),
        ("${file:}", "not a reference; write ${NAME}, ${NAME:-default} or ${file:/run/secrets/key}"),
        ("${A-b}", "not a reference; write ${NAME}, ${NAME:-default} or ${file:/run/secrets/key}"),
        (
            "${A}",
            "the environment variable A is not set; "
            "set it, or name its file with --env-file, or give it a default, ${A:-…}, if it is not a secret",
        ),
        (
            "${file:no/such}",
            "no file 'no/such'; there is no folder no; relative paths start at the folder in which the command runs",
        ),
    ],
)
def test_a_malformed_reference_is_reported(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        resolve(text, {})
    assert str(error.value) == message


def test_a_file_that_cannot_contain_a_secret_is_reported(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe")
    for name, message in [("large", "is larger than 65,536 bytes"), ("binary", "is not UTF-8"), ("pipe", "no file")]:
        with pytest.raises(ValueError, match=message):
            resolve(f"${{file:{tmp_path / name}}}", {})


@pytest.mark.parametrize(
    ("raw", "environ", "message"),
    [
        (CANARY, {}, ONLY),
        (f"x${{{'A'}}}", {"A": CANARY}, ONLY),
        ("${A}${A}", {"A": CANARY}, ONLY),
        (f"${{A:-{CANARY}}}", {}, f"{ONLY}: a default would be a secret in plain text; leave it out"),
        (12345, {}, ONLY),
        (None, {}, ONLY),
        ([CANARY], {}, ONLY),
        ({"key": CANARY}, {}, ONLY),
        ("${A}", {"A": ""}, "the environment variable A is empty; set it, or unset it so that the value of an --env"),
        ("${A}", {"A": f"{CANARY}\n"}, "the environment variable A contains white space or characters that no key has"),
        ("${A}", {"A": f"{CANARY} x"}, "the environment variable A contains white space or characters that no key has"),
        ("${A}", {"A": f"{CANARY}é"}, "the environment variable A contains white space or characters that no key has"),
        ("${A}", {"B": CANARY}, "the environment variable A is not set"),
    ],
)
def test_a_secret_is_one_reference_and_never_shown(raw: object, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError) as error:
        resolve_secret(raw, environ)
    assert str(error.value).startswith(message)
    assert CANARY not in str(error.value)


@pytest.mark.parametrize("resolved", [resolve, resolve_secret])
def test_an_empty_file_is_named_with_what_to_do(resolved: Callable[[str, dict[str, str]], str], tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    with pytest.raises(ValueError, match=r"the file '.*key' is empty; write the value into it"):
        resolved(f"${{file:{tmp_path}/key}}", {})


def test_without_an_environment_only_the_form_of_a_secret_is_checked() -> None:
    assert resolve_secret("${NOT_SET}", None) == ""
    assert resolve_secret("${file:/no/such/file}", None) == ""
    with pytest.raises(ValueError, match=ONLY):
        resolve_secret(CANARY, None)
    with pytest.raises(ValueError, match="not a reference"):
        resolve_secret("${a b}", None)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("${URL}", "postgresql://u:p@h/d"),
        ("mysql://${WHO}:${ODD}@db/shop", "mysql://me:p%40ss%2Fw%3Ard%25@db/shop"),
        ("mysql://me:${ODD}@${HOST}:3306/shop", "mysql://me:p%40ss%2Fw%3Ard%25@db.internal:3306/shop"),
        ("sqlite:///shop.db", "sqlite:///shop.db"),
        ("sqlite:///${WHO}@home.db", "sqlite:///me@home.db"),
    ],
)
def test_a_user_or_password_in_an_address_is_encoded(written: str, address: str) -> None:
    environ = {"URL": "postgresql://u:p@h/d", "WHO": "me", "ODD": "p@ss/w:rd%", "HOST": "db.internal"}
    assert resolve_address(written, environ) == address


@pytest.mark.parametrize(
    "written",
    [
        "postgresql://me:hunter2@db/shop",
        "postgresql://me@db/shop?password=hunter2",
        "mysql://db/shop?user=me&passwd=hunter2",
        "databricks://db?http_path=x&access_token=hunter2",
    ],
)
@pytest.mark.parametrize("environ", [None, {}])
def test_a_password_in_plain_text_is_refused_and_not_shown(written: str, environ: dict[str, str] | None) -> None:
    with pytest.raises(ValueError, match="a password in plain text") as error:
        resolve_address(written, environ)
    assert "hunter2" not in str(error.value)


def test_the_remedy_for_a_missing_secret_does_not_suggest_a_default() -> None:
    with pytest.raises(
        ValueError,
        match=r"^the environment variable KEY is not set; set it, or name its file with --env-file$",
    ):
        resolve_secret("${KEY}", {})
