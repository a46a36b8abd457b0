"""Every preset: its sample through check, validate and a run in the sandbox, and its files are recognised by header."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cio_etl.cli import main
from cio_etl.cli.source import columns_in, section_of
from cio_etl.presets import Preset, presets, recognise
from cio_etl.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
EVERY = presets()
KEYS = ("CUSTOMERIO_SITE_ID", "CUSTOMERIO_API_KEY")
Captured = pytest.CaptureFixture[str]

each_preset = pytest.mark.parametrize("preset", EVERY, ids=lambda preset: preset.name)


def json_of(arguments: list[str], capsys: Captured, codes: tuple[int, ...] = (0,)) -> Any:
    """What a command prints with --json."""
    code = main([*arguments, "--json"])
    captured = capsys.readouterr()
    assert code in codes, captured.err
    return json.loads(captured.out)


@pytest.fixture
def written(preset: Preset, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The preset and its sample, written into this folder; the database of a sample is the warehouse."""
    content: dict[str, Any] = json_of(["presets", preset.name, "--sample"], capsys)
    for database in Path("exports").rglob("*.sqlite"):
        monkeypatch.setenv("WAREHOUSE_URL", f"sqlite:///{database}")
    for key in KEYS:
        monkeypatch.setenv(key, "sandbox")
    return content


@each_preset
def test_the_sample_becomes_what_the_preset_says(
    preset: Preset, written: dict[str, Any], sandbox: Sandbox, capsys: Captured
) -> None:
    job = Path(written["written"][0])
    assert job == Path("jobs", f"{preset.name}.yaml")
    text = job.read_text(encoding="utf-8")
    assert "  region: us " in text and preset.home not in text
    job.write_text(text.replace("  region: us ", f"  base_url: {sandbox.url}\n  region: us "), encoding="utf-8")
    assert main(["check", str(job)]) == 0, capsys.readouterr()
    assert main(["test", str(job)]) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    mappings = [path for path in preset.folder.glob("*.yaml") if path.name not in ("job.yaml", "preset.yaml")]
    assert [path.stem for path in mappings if f"/tests/{path.stem}." not in out] == [], "each mapping has tests"
    validated = json_of(["validate", str(job)], capsys, (0, 3))
    report = json_of(["run", str(job)], capsys, (0, 3))
    assert [step["accepted"] for step in validated["steps"]] == [step["accepted"] for step in report["steps"]]
    rejected: Counter[str] = Counter()
    for step in report["steps"]:
        assert step["rows_read"] == step["accepted"] + step["rejected"] + step["skipped"] > 0, step["name"]
        rejected.update({count["reason"]: count["rows"] for count in step["rejects"]})
    stats = sandbox.stats()
    everybody = [person.attributes for person in sandbox.people.everybody()]
    assert {
        "people": stats["people"],
        "unsubscribed": sum(person.get("unsubscribed") is True for person in everybody),
        "suppressed": stats["suppressed"],
        "events": stats["events"],
        "objects": stats["objects"],
        "relationships": stats["relationships"],
        "without_effect": len(sandbox.activity),
        "skipped": sum(step["skipped"] for step in report["steps"]),
        "rejected": dict(rejected),
    } == preset.sample
    assert [reason for reason in rejected if f"`{reason}`" not in preset.recipe] == [], "the recipe names each"


@each_preset
def test_a_sample_is_recognised_by_its_preset_and_by_no_other(
    preset: Preset, written: dict[str, Any], capsys: Captured
) -> None:
    recognised = []
    for file in sorted(path for path in Path("exports").rglob("*") if path.is_file()):
        for kind, columns, name in sources(file):
            found = recognise(kind, columns, path=name)
            assert [each.preset.name for each in found] == [preset.name], file
            recognised.append(found[0].file.name)
    assert {file.name for file in preset.files} == {*recognised}


def sources(file: Path) -> Iterator[tuple[str, list[str], object]]:
    """The kind, the columns and the name of a file, or of each table of a database."""
    if file.suffix != ".sqlite":
        section = section_of(str(file), None, None, None)
        yield next(iter(section)), columns_in(section), file
        return
    from cio_etl.config import load_source
    from cio_etl.extract import tables_of
    from cio_etl.model import SqlSource

    source = load_source({"sql": f"sqlite:///{file}", "query": "select 1"})
    assert isinstance(source, SqlSource)
    for table in tables_of(source):
        yield "sql", columns_in({"sql": f"sqlite:///{file}", "table": table}), table


@each_preset
def test_a_preset_says_where_its_shapes_are_from_and_what_it_loses(preset: Preset) -> None:
    assert list(preset.folder.glob("sample/*")), "each preset has a sample"
    for document in preset.documents:
        assert document.address.startswith("https://") and date.fromisoformat(document.looked_up)
    recipe = " ".join(preset.recipe.replace("*", "").split())
    assert all(sentence.endswith(".") for sentence in preset.loses)
    assert f"cio-etl presets {preset.name} --export" in recipe or "WAREHOUSE_URL" in recipe
    assert f"cio-etl run jobs/{preset.name}.yaml" in recipe
    lines = [line for line in preset.recipe.splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 120] == []
    for heading in ("## What is mapped", "## What is lost"):
        assert heading in preset.recipe
    for file in preset.files:
        assert file.name in recipe


def test_the_job_reads_the_files_of_an_export_and_leaves_out_the_steps_of_others(capsys: Captured) -> None:
    preset = next(each for each in EVERY if each.name == "stripe")
    Path("export").mkdir()
    Path("export/notes.csv").write_text("a,b\n1,2\n")
    Path("export/damaged.csv").write_bytes(b'a,b\n"1,\xff\n')
    sample = (preset.folder / "sample" / "customers.csv").read_text(encoding="utf-8")
    Path("export/My customers (1).csv").write_text(sample, encoding="utf-8")
    content = json_of(["presets", "stripe", "--export", "export"], capsys)
    assert content["files"] == {"customers": ["export/My customers (1).csv"]}
    assert {each["file"] for each in content["not_used"]} == {"export/notes.csv", "export/damaged.csv"}
    assert content["left_out"] and {step for file in preset.files for step in file.steps} > {*content["left_out"]}
    assert content["to_decide"] and content["loses"]
    assert not Path("mappings/stripe/payments.yaml").exists()
    assert not Path("mappings/stripe/tests/payments.yaml").exists()
    text = Path("jobs/stripe.yaml").read_text(encoding="utf-8")
    assert "export/My customers (1).csv" in text and "exports/stripe" not in text
    assert main(["check", "jobs/stripe.yaml"]) == 0
    capsys.readouterr()
    assert main(["presets", "stripe", "--export", "export"]) == 78
    assert "exists already and is not overwritten; give another folder with --into" in capsys.readouterr().err


def test_many_files_of_one_kind_are_read_by_their_pattern(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    json_of(["presets", "amplitude", "--sample"], capsys)
    json_of(["presets", "amplitude", "--export", "exports", "--into", "other"], capsys)
    assert 'source: {ndjson: "../exports/amplitude/*.json"}' in Path("other/jobs/amplitude.yaml").read_text()
    Path("exports/amplitude/notes.json").write_text('{"a": 1}')
    json_of(["presets", "amplitude", "--export", "exports", "--into", "third"], capsys)
    text = Path("third/jobs/amplitude.yaml").read_text()
    assert "notes" not in text and text.count("#0.json") == 2
    monkeypatch.chdir("third")
    assert json_of(["validate", "jobs/amplitude.yaml"], capsys)["steps"][0]["rows_read"] == 8


def test_init_offers_the_preset_of_a_file_and_writes_it_on_request(capsys: Captured) -> None:
    preset = next(each for each in EVERY if each.name == "clerk")
    Path("people.csv").write_text(
        (preset.folder / "sample" / "users.csv").read_text(encoding="utf-8"), encoding="utf-8"
    )
    assert main(["init", "people.csv"]) == 0
    out = capsys.readouterr().out
    assert "preset: it has the columns of Clerk" in out and "--preset clerk" in out
    assert all(f"not migrated: {words}" in out for words in preset.loses)
    assert "written: jobs/people.yaml, mappings/people.yaml" in out
    content = json_of(["init", "people.csv", "--name", "again"], capsys)
    assert [offered["preset"] for offered in content["presets"]] == ["clerk"]
    content = json_of(["init", "people.csv", "--preset", "clerk"], capsys)
    assert content["written"][0] == "jobs/clerk.yaml"
    assert "{csv: people.csv}" in Path("jobs/clerk.yaml").read_text(encoding="utf-8")
    Path("other.csv").write_text("a,b\n1,2\n")
    assert main(["init", "other.csv", "--preset", "clerk"]) == 78
    fault = "other.csv: it has none of the columns by which Clerk's users.csv is recognised; compare"
    assert fault in capsys.readouterr().err
    header, _, rows = Path("people.csv").read_text(encoding="utf-8").partition("\n")
    Path("loud.csv").write_text(f"{header.upper()}\n{rows}", encoding="utf-8")
    assert main(["init", "loud.csv", "--preset", "clerk"]) == 78
    err = capsys.readouterr().err
    assert "loud.csv: its header has 'ID' in place of 'id', 'FIRST_NAME' in place of 'first_name', " in err
    assert "the mappings read the names as Clerk writes them: write the header so" in err
    assert main(["presets", "clrk"]) == 78
    assert "did you mean 'clerk'?" in capsys.readouterr().err


def test_files_with_the_same_columns_are_told_apart_by_their_names(capsys: Captured) -> None:
    sample = next(each for each in EVERY if each.name == "mailchimp").folder / "sample"
    (file,) = sample.glob("subscribed_*.csv")
    Path("export").mkdir()
    Path("export", file.name.upper()).write_bytes(file.read_bytes())
    content = json_of(["presets", "mailchimp", "--export", "export"], capsys)
    assert content["files"] == {"subscribed": [f"export/{file.name.upper()}"]}
    assert content["left_out"] == ["unsubscribed", "cleaned", "nonsubscribed"]
    Path("export", "contacts.csv").write_bytes(file.read_bytes())
    assert main(["presets", "mailchimp", "--export", "export", "--into", "again"]) == 78
    assert "contacts.csv: by its columns it may be nonsubscribed_*.csv or subscribed_*.csv" in capsys.readouterr().err
    assert main(["init", "export/contacts.csv", "--preset", "mailchimp"]) == 78


def test_the_job_says_how_the_files_of_an_export_are_written(capsys: Captured) -> None:
    sample = next(each for each in EVERY if each.name == "shopify").folder / "sample" / "customers.csv"
    rows = list(csv.reader(sample.read_text(encoding="utf-8-sig").splitlines()))
    rows[1][rows[0].index("First Name")] = "Zoë"
    for name in ("a.csv", "b.csv"):
        Path("export", name).parent.mkdir(exist_ok=True)
        with Path("export", name).open("w", encoding="cp1252", errors="replace", newline="") as file:
            csv.writer(file, delimiter=";").writerows(rows)
    for command in (["presets", "shopify", "--export", "export"], ["init", "export/a.csv", "--preset", "shopify"]):
        json_of(command, capsys)
        assert 'separator: ";", encoding: cp1252}' in Path("jobs/shopify.yaml").read_text(encoding="utf-8")
        assert main(["validate", "jobs/shopify.yaml"]) in (0, 3, 4)
        assert "finished" in capsys.readouterr().out
        shutil.rmtree("jobs")
        shutil.rmtree("mappings")
    Path("export/b.csv").write_text(sample.read_text(encoding="utf-8"), encoding="utf-8")
    capsys.readouterr()
    assert main(["presets", "shopify", "--export", "export"]) == 78
    assert "export/b.csv: it is written otherwise (as usual) than export/a.csv (separator: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("product", "name", "header", "why"),
    [
        ("stripe", "p.csv", "id,Description,Email,Name,Created (UTC),Delinquent", "it lacks 'Total Spend', 'Payment"),
        ("klaviyo", "list.csv", "Email,Reason", "it has the columns of Klaviyo's suppressed*.csv, but another name"),
        ("clerk", "x.csv", "a,b", "it has none of the columns by which Clerk's users.csv is recognised"),
        ("clerk", "gone.csv", "", "the file is empty"),
        ("braze", "bounced.csv", "email,opted_in_to_emails_at,random_bucket", "it has 'random_bucket', and Braze"),
        ("shopify", "c.avro", "", "avro"),
    ],
)  # fmt: skip
def test_a_file_of_an_export_that_is_not_used_is_named_with_what_it_lacks(
    product: str, name: str, header: str, why: str, capsys: Captured
) -> None:
    Path("export").mkdir()
    Path("export", name).write_text(f"{header}\n" if header else "", encoding="utf-8")
    Path("export/.DS_Store").write_bytes(b"\0")
    assert main(["presets", product, "--export", "export"]) == 78
    err = capsys.readouterr().err
    assert f"export/{name}" in err and why in err and "no file here has the columns of" in err and "DS_Store" not in err


def test_a_list_of_consent_beside_other_files_says_what_is_lost_without_it() -> None:
    for preset in EVERY:
        for file in preset.files[:-1]:
            reads = [(preset.folder / name).read_text(encoding="utf-8") for name in file.mappings]
            if file.file is not None and all("unsubscribed: {value: true}" in text for text in reads):
                is_known = preset.name == "mailchimp" and file.name == "nonsubscribed"  # they are in no other file
                assert is_known or (file.without or "").startswith("Consent: without"), (preset.name, file.name)


def test_a_file_of_consent_that_is_missing_is_named_as_a_loss(capsys: Captured) -> None:
    sample = next(each for each in EVERY if each.name == "shopify").folder / "sample" / "orders.csv"
    Path("orders.csv").write_bytes(sample.read_bytes())
    assert main(["presets", "shopify", "--export", "orders.csv"]) == 0
    assert "not migrated: Consent: without the customers nobody is unsubscribed" in capsys.readouterr().out


def test_the_list_names_every_preset_with_what_it_loses(capsys: Captured) -> None:
    assert main(["presets"]) == 0
    out = capsys.readouterr().out
    listed = json_of(["presets"], capsys)
    assert [each["preset"] for each in listed] == [preset.name for preset in EVERY]
    for preset in EVERY:
        assert re.search(rf"(?m)^{preset.name}: ", out) and all(words in out for words in preset.loses)


def test_the_wheel_has_the_files_of_every_preset(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {*zipfile.ZipFile(wheel).namelist()}
    of_presets = {path for preset in EVERY for path in preset.folder.rglob("*") if path.is_file()}
    home = "cio_etl/presets/products"
    assert {f"{home}/{path.relative_to(ROOT / 'mappings/presets').as_posix()}" for path in of_presets} <= names
