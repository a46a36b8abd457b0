"""A file of environment variables, as `.env`, is read when it is asked for, and only for that command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cio_etl.cli import main
from cio_etl.config import read_env_file
from cio_etl.errors import ConfigError

FILE = r"""
# the keys of the test workspace
A=1
export B = two words   # a comment
C='single # ${quotes} \n'
D="double \"quotes\"\n\$HOME"   # a comment
E=
F=a#b
"""


def test_values_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(FILE)
    assert read_env_file(path) == {
        "A": "1",
        "B": "two words",
        "C": "single # ${quotes} \\n",
        "D": 'double "quotes"\n$HOME',
        "E": "",
        "F": "a#b",
    }


def test_every_line_that_is_wrong_is_told_and_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text('A=1\nA=secret\nsecret\n1B=secret\nC="secret\nD=${secret}\nE="secret ${F}"\nG=secret\0\n')
    with pytest.raises(ConfigError) as error:
        read_env_file(Path(".env"))
    assert [str(problem).split(";")[0] for problem in error.value.problems] == [
        ".env:2: A: written twice",
        ".env:3: not a variable",
        ".env:4: not a variable",
        ".env:5: C: a quote that is not closed in this line",
        ".env:6: D: references are not replaced in this file",
        ".env:7: E: references are not replaced in this file",
        ".env:8: G: a value contains the character NUL, which no variable can hold",
    ]
    assert "secret" not in str(error.value)


def test_a_command_reads_the_file_and_what_is_set_already_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FILE", "people")
    Path("m.yaml").write_text("operation: identify\nidentifiers: {id: id}\nattributes: {a: a}\n")
    Path("people.csv").write_text("id,a\n1,x\n")
    Path("job.yaml").write_text(
        "destination: {site_id: '${SITE}', api_key: '${KEY}', base_url: 'http://127.0.0.1:${PORT}'}\n"
        "steps:\n  - {name: a, source: {csv: '${FILE}.csv'}, mapping: m.yaml}\n"
    )
    Path(".env").write_text("FILE=nothing\nSITE=s\nKEY=k\nPORT=9\n")
    assert main(["validate", "job.yaml"]) == 78
    assert "PORT is not set" in capsys.readouterr().err
    assert main(["validate", "job.yaml", "--env-file", ".env"]) == 0
    assert main(["plan", "job.yaml", "--env-file", ".env"]) == 3
    assert "cio-etl run job.yaml --env-file=.env" in capsys.readouterr().out
    assert "SITE" not in os.environ
    assert main(["validate", "job.yaml", "--env-file", ".en"]) == 78
    assert ".en: no such file; " in capsys.readouterr().err
