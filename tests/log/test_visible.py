"""Whatever a file or a column is called, nothing that is printed moves a cursor or turns text around."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from cio_etl.cli import main
from cio_etl.errors import ConfigError, Problem, SourceError
from cio_etl.log.consoles import SafeConsole
from cio_etl.log.streams import say
from cio_etl.log.visible import one_line, visible, visible_event
from cio_etl.sandbox import Sandbox
from tests.running import write_job

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0001-\U000e007f]"
)
HOSTILE = "a\x1b[31m\x9b2J\u202eb\u2066\u200f\x07\x08\x7f\u2028\U000e0041z"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Zoë 漢字 😀 عربى", "Zoë 漢字 😀 عربى"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J", "\\u001b[2J"),
        ("\x9b31m", "\\u009b31m"),
        ("\r\x00\x7f", "\\u000d\\u0000\\u007f"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066\u2069\u200e\u061c", "\\u2066\\u2069\\u200e\\u061c"),
        ("\ufeff\u200b\xad", "\\ufeff\\u200b\\u00ad"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("\udcff", "\\udcff"),
    ],
)
def test_invisible_characters_become_escapes(text: str, shown: str) -> None:
    assert visible(text) == visible(shown) == shown
    assert one_line(text) == shown.replace("\n", "\\n").replace("\t", "\\t")


def test_a_line_of_json_stays_the_same_document() -> None:
    content = {HOSTILE: [HOSTILE, "\n\t"]}
    line = visible(json.dumps(content, ensure_ascii=False))
    assert not UNSAFE.search(line) and json.loads(line) == content


def test_a_line_that_is_said_is_safe(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    say(f"{HOSTILE}\nsecond", err=True)
    captured = capsys.readouterr()
    assert captured.out == f"{visible(HOSTILE)}\n" and captured.err == f"{visible(HOSTILE)}\nsecond\n"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_tables_and_texts_hold_only_the_console_s_own_codes(is_terminal: bool) -> None:
    out = io.StringIO()
    console = SafeConsole(file=out, force_terminal=is_terminal, width=400)
    table = Table(HOSTILE)
    table.add_row(Text(HOSTILE, style="bold red"))
    console.print(table)
    console.print(Text(HOSTILE, style="green"), soft_wrap=True)
    console.print(HOSTILE, markup=False)
    assert out.getvalue().count("\\u202eb") >= 2  # a cell of a table may be wrapped
    assert not UNSAFE.search(re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()))


def test_a_value_of_a_log_line_is_one_safe_line() -> None:
    assert visible_event(None, "info", {"event": "x", "file": "a\nb\x1b", "rows": 3}) == {
        "event": "x",
        "file": "a\\nb\\u001b",
        "rows": 3,
    }


def test_a_message_stays_in_one_line_whatever_the_file_is_called() -> None:
    assert str(SourceError(place="a\nb.csv", what="is empty")) == "a\\nb.csv: is empty"
    problems = [Problem("a\nb.yaml", 1, "steps", "x\ry"), Problem("c.yaml", None, "", "z")]
    assert str(ConfigError(problems)).split("\n") == ["a\\nb.yaml:1: steps: x\\ny", "c.yaml: z"]


@pytest.mark.usefixtures("keys")
def test_no_command_prints_a_name_of_a_file_or_a_column_as_it_is(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file, column = f"{HOSTILE.replace('[', '')}.csv", HOSTILE
    people = [f"{n},u{n}@shop.example,{n % 2 or ''}" for n in range(8)]
    Path(file).write_text("\n".join([f'id,email,"{column}"', *people, "9,none,1", ""]))
    attributes = {"email": "email", "plan": {"column": column, "apply": [{"cast": "integer"}]}}
    mapping = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": attributes}
    Path("people.yaml").write_text(json.dumps(mapping))
    Path("wrong.yaml").write_text(json.dumps(mapping | {"attributes": {"plan": f"{column}x"}}))
    steps = {"people": ({"csv": file}, "people.yaml")}
    write_job(Path("job.yaml"), sandbox.url, steps, max_rejects=9)
    write_job(Path("wrong-job.yaml"), sandbox.url, {"people": ({"csv": file}, "wrong.yaml")}, max_rejects=9)
    write_job(Path("lost.yaml"), sandbox.url, {"people": ({"csv": f"no-{file}"}, "people.yaml")}, max_rejects=9)
    commands = [
        ["check", "job.yaml"],
        ["check", "wrong-job.yaml"],
        ["preview", "job.yaml"],
        ["validate", "job.yaml"],
        ["validate", "wrong-job.yaml"],
        ["run", "job.yaml"],
        ["--log-file", "log", "--log-format", "json", "run", "lost.yaml"],
        ["run", "lost.yaml"],
        ["status"],
        ["status", "job.yaml"],
        ["inspect", file],
        ["inspect", file, "--column", f"{column}y"],
        ["init", file, "--out", "made"],
        ["run", f"{file}.yaml"],
        ["doctor", "lost.yaml"],
    ]
    for command in commands:
        main(command)
        printed = "".join(capfd.readouterr())
        assert printed.strip(), command
        assert not (found := UNSAFE.search(printed)), (command, found, printed)
    for written in (Path("log"), *Path(".etl").rglob("*.html")):
        assert not UNSAFE.search(written.read_text()), written
