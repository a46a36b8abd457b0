"""A YAML file is read as plain data with the line of every key; everything else is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cio_etl.config.yaml_file import MAX_BYTES, MAX_VALUES, Document, dotted, read_yaml


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)

    def write_and_read(content: str | bytes) -> Document:
        Path("a.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_yaml(Path("a.yaml"))

    return write_and_read


def problems_of(document: Document) -> list[str]:
    return [str(problem) for problem in document.problems]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("true", True),
        ("'true'", "true"),
        ("~", None),
        ("", None),
        ("null", None),
        ("12", 12),
        ("-3", -3),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("2024-03-10", "2024-03-10"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("=", "="),
        ("18446744073709551615", 18_446_744_073_709_551_615),
        (".inf", float("inf")),
        ('"\\u00e9"', "é"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("[a, {b: [1]}]", ["a", {"b": [1]}]),
    ],
)
def test_plain_values_follow_the_core_schema_of_yaml_1_2(read, written: str, meant: object) -> None:  # type: ignore[no-untyped-def]
    document = read(f"key: {written}\n")
    assert problems_of(document) == []
    assert document.data == {"key": meant}
    assert type(document.data["key"]) is type(meant)


def test_a_key_is_always_text(read) -> None:  # type: ignore[no-untyped-def]
    assert read("1: a\nyes: b\nnull: c\n2024-03-10: d\n").data == {"1": "a", "yes": "b", "null": "c", "2024-03-10": "d"}


def test_every_key_and_item_has_its_line(read) -> None:  # type: ignore[no-untyped-def]
    document = read("# a comment\na:\n  b:\n    - x\n    -\n      c: 1\nd: {e: 1,\n    f: 2}\n")
    lines = [document.line(loc) for loc in [("a",), ("a", "b"), ("a", "b", 0), ("a", "b", 1, "c"), ("d", "f")]]
    assert lines == [2, 3, 4, 6, 8]
    assert document.line(("a", "b", 9, "nowhere")) == 3, "the nearest place around it"


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ("a: 1\nb: 2\na: 3\n", ["a.yaml:3: a: written twice, first on line 1; keep one"]),
        ("x:\n  a: 1\n  'a': 3\n", ["a.yaml:3: x.a: written twice, first on line 2; keep one"]),
        ("a: &x 1\n", ["a.yaml:1: a: an anchor (&); leave it out and write values out where they are needed"]),
        (
            "a: &x [1]\nb: *x\n",
            [
                "a.yaml:1: a: an anchor (&); leave it out and write values out where they are needed",
                "a.yaml:2: b: an alias (*); write the value out",
            ],
        ),
        ("a: 1\n<<: {b: 2}\n", ["a.yaml:2: a merge key (<<); write the keys out"]),
        ("a: !!python/object:os.system x\n", ["a.yaml:1: a: a tag (!); leave it out, or put the text in quotes"]),
        ("a: !env x\n", ["a.yaml:1: a: a tag (!); leave it out, or put the text in quotes"]),
        ("!x a: 1\n", ["a.yaml:1: a tag (!) or an anchor (&) at a key; leave it out"]),
        ("? [a, b]\n: 1\n", ["a.yaml:1: a key that is not text; write `key: value`"]),
        ("a: 00123\n", ["a.yaml:1: a: a number that would lose its leading zero or plus; put it in quotes"]),
        ("a: +33612345678\n", ["a.yaml:1: a: a number that would lose its leading zero or plus; put it in quotes"]),
        ("a: 18446744073709551616\n", ["a.yaml:1: a: a number of more than 64 bits; put it in quotes"]),
        (f"a: {'9' * 5000}\n", ["a.yaml:1: a: a number of more than 64 bits; put it in quotes"]),
        ("a: 1e999\n", ["a.yaml:1: a: a number too large for JSON; put it in quotes"]),
        ('a: "\\uD800"\n', ["a.yaml:1: a: an incomplete character (\\uD800 to \\uDFFF); write the character itself"]),
        ('a: "x\\0"\n', ["a.yaml:1: a: a NUL character (\\0); leave it out"]),
        ("", ["a.yaml: empty"]),
        ("# only a comment\n", ["a.yaml: empty"]),
        ("- a\n- b\n", ["a.yaml:1: must be keys with values, each on its line as `key: value`"]),
        ("just text\n", ["a.yaml:1: must be keys with values, each on its line as `key: value`"]),
        ("a: 1\n---\nb: 2\n", ["a.yaml:2: a second document begins here; one file holds one"]),
        ("%YAML 1.1\n---\na: NO\n", ["a.yaml:1: a % line at the top; leave it out, the file is read as YAML 1.2"]),
        ("a: [1,\n", ["a.yaml:2: column 1: a `[` or `{` that is not closed"]),
        ("a: {b: 1\nc: 2\n", ["a.yaml:2: column 2: a `{` that is not closed, or a comma that is missing"]),
        ('a: "b\n', ["a.yaml:2: column 1: a quote that is not closed"]),
        (
            "a: b: c\n",
            ["a.yaml:1: column 5: a `: ` where no key can be; put the text in quotes, or fix the indentation"],
        ),
        ("a:\n\tb: 1\n", ["a.yaml:2: column 1: a tab; indent with spaces"]),
        ("a: 1\n  b\nc\n", ["a.yaml:4: column 1: a line that is not `key: value`"]),
        ("a:\n  b: 1\n c: 2\n", ["a.yaml:3: column 2: the indentation does not fit the lines above"]),
        ("a: @b\n", ["a.yaml:1: column 4: a character that cannot start a value; put the text in quotes"]),
        ("a: x\x01\n", ["a.yaml: not YAML: a character or an escape that YAML does not allow; save the file again"]),
        ("a: é\n".encode("latin-1"), ["a.yaml:1: not UTF-8; save the file as UTF-8"]),
        ("a: 1\n".encode("utf-16"), ["a.yaml:1: not UTF-8; save the file as UTF-8"]),
    ],
)
def test_everything_but_plain_data_is_refused_with_its_line(read, content: str | bytes, problems: list[str]) -> None:  # type: ignore[no-untyped-def]
    assert problems_of(read(content)) == problems


def test_all_refused_values_are_reported_at_once(read) -> None:  # type: ignore[no-untyped-def]
    assert len(read("a: &x 1\nb: !t 2\na: 007\n").problems) == 4


def test_a_byte_order_mark_is_ignored(read) -> None:  # type: ignore[no-untyped-def]
    assert read(b"\xef\xbb\xbfa: 1\n").data == {"a": 1}


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("bomb", "message"),
    [
        (LAUGHS, "an alias (*)"),
        ("[" * 3_000, "nested deeper than 50 levels"),
        ("a: " + "[" * 60 + "]" * 60, "nested deeper than 50 levels"),
        ("- " * 3_000, "nested deeper than 50 levels"),
        ("? " * 3_000, "a key that is not text"),
        ("{a: " * 3_000, "nested deeper than 50 levels"),
        ("a: [" + "a," * 300_000 + "]", "more than 20,000 values"),
        ("x" * (MAX_BYTES + 1), "larger than 1,000,000 bytes"),
        ("!" * 100_000, "a tag (!)"),
    ],
    ids=["laughs", "brackets", "closed", "dashes", "questions", "braces", "items", "size", "tags"],
)
def test_reading_a_yaml_bomb_stops_at_the_first_limit(read, bomb: str, message: str) -> None:  # type: ignore[no-untyped-def]
    document = read(bomb)
    problems = problems_of(document)
    assert any(message in problem for problem in problems), problems[:3]
    assert len(document.lines) <= MAX_VALUES + 1  # a place for each value that was built


def test_fifty_levels_are_allowed(read) -> None:  # type: ignore[no-untyped-def]
    assert problems_of(read("a: " + "[" * 49 + "]" * 49)) == []
    assert problems_of(read("a: " + "[" * 50 + "]" * 50)) == ["a.yaml:1: nested deeper than 50 levels"]


def test_the_message_for_a_missing_file_says_where_relative_paths_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    message = "relative paths start at the folder in which the command runs"
    assert problems_of(read_yaml(Path("no.yaml"))) == [f"no.yaml: no such file; {message}"]
    for name in ("pipe", "."):
        assert problems_of(read_yaml(Path(name))) == [f"{name}: a folder, a pipe or a device; name a file"]


def test_a_missing_file_is_reported_with_one_that_the_path_may_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "shop.yaml").touch()
    for path in ("jobs/shop.yml", "jobs/shops.yaml", "jobs/Shop.yaml", "shop.yaml", "job/shop.yaml"):
        assert problems_of(read_yaml(Path(path))) == [f"{path}: no such file; did you mean jobs/shop.yaml?"]
    assert problems_of(read_yaml(tmp_path / "x")) == [f"{tmp_path}/x: no such file; check the path"]


@pytest.mark.parametrize(
    ("loc", "path"),
    [
        ((), ""),
        (("attributes", "plan", "apply", 0), "attributes.plan.apply[0]"),
        (("attributes", "a.b", "column"), "attributes['a.b'].column"),
        (("attributes", "ключ"), "attributes.ключ"),
        (("a\x1b[31m",), "['a\\x1b[31m']"),
        (("x" * 100,), "x" * 60 + "…"),
        ((0, "a"), "[0].a"),
    ],
)
def test_a_place_is_written_as_a_dotted_path(loc: tuple[str | int, ...], path: str) -> None:
    assert dotted(loc) == path


def test_a_file_that_is_read_again_has_what_it_says_now_and_no_change_of_a_caller(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("attributes: {plan: plan}\n")
    first = read_yaml(file)
    assert first.data is not None
    first.data["attributes"]["plan"] = "changed"
    assert read_yaml(file).data == {"attributes": {"plan": "plan"}}
    file.write_text("attributes: {plan: tier}\n")
    assert read_yaml(file).data == {"attributes": {"plan": "tier"}}
    file.unlink()
    assert [problem.message for problem in read_yaml(file).problems] == ["no such file; check the path"]
