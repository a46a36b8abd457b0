"""The examples of the pages run: YAML, the five minutes, the demo's report."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from cio_etl.cli import main
from cio_etl.config import load_jobs, load_mapping, load_source
from cio_etl.config.examples import check_examples
from cio_etl.config.folder_file import folder_channels
from cio_etl.config.job_sections import StateYaml
from cio_etl.config.references import resolve_address
from cio_etl.config.validation import validated
from cio_etl.config.yaml_file import read_yaml
from cio_etl.project import demo_data
from cio_etl.sandbox import Sandbox
from tests.docs.pages import ROOT, all_pages, blocks, read, section, yaml_blocks, yaml_sections
from tests.fork_server import Process
from tests.running import API_KEY, SITE_ID, environment, spawn, start, start_program, write_job


def test_every_yaml_block_is_of_a_kind_that_is_tested_here() -> None:
    of_files = [*yaml_blocks("jobs"), *yaml_blocks("mappings"), *yaml_blocks("mappings/tests")]
    tested = [*of_files, *(text for name in ("source", "state", "notify") for text in yaml_sections(name))]
    assert len(tested) == all_pages().count("\n```yaml\n") > 1


@pytest.mark.parametrize(("name", "text"), yaml_blocks("mappings"), ids=lambda value: value.split("\n")[0])
def test_a_mapping_loads_and_its_examples_come_out(name: str, text: str) -> None:
    Path("mappings").mkdir()
    for other, content in [*yaml_blocks("mappings"), (name, text)]:  # one may extend another
        Path(other).write_text(content, encoding="utf-8")
    mapping = load_mapping(Path(name))
    assert mapping.examples and list(check_examples(mapping)) == []


def test_the_cookbook_has_fifteen_recipes_each_with_a_mapping() -> None:
    recipes = re.split(r"(?m)^### \d+\. ", section("mappings/README.md", "## Cookbook"))[1:]
    assert [recipe.count("\n```yaml\n# mappings/") for recipe in recipes] == [1] * 15


def test_validate_prints_the_failed_expectations_that_the_page_of_mappings_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = dict(blocks(section("mappings/README.md", "## Expectations"), "yaml", "csv", "text"))
    Path("subscribers.yaml").write_text(shown["yaml"], encoding="utf-8")
    Path("subscribers.csv").write_text(shown["csv"], encoding="utf-8")
    steps = {"subscribers": ({"csv": "subscribers.csv"}, "subscribers.yaml")}
    write_job(Path("job.yaml"), "http://127.0.0.1:9", steps)
    command, text = shown["text"].split("\n", 1)
    assert main(command.split()[2:]) == 4
    assert_printed(text, capsys.readouterr().out)


def test_the_tests_of_a_mapping_pass_and_fail_as_shown(capsys: pytest.CaptureFixture[str]) -> None:
    ((name, text),) = yaml_blocks("mappings/tests")
    tested = f"mappings/{Path(name).name}"
    mapping = dict(yaml_blocks("mappings"))[tested]
    Path(name).parent.mkdir(parents=True)
    Path(name).write_text(f"\n{text}", encoding="utf-8")  # the page shows one more line
    Path(tested).write_text(mapping, encoding="utf-8")
    assert main(["test", "mappings"]) == 0
    assert capsys.readouterr().out.endswith("5 tests passed\n")
    Path(tested).write_text(mapping.replace("status <> 'test' and ", ""), encoding="utf-8")
    assert main(["test", tested]) == 78
    shown = dict(blocks(section("mappings/README.md", "## Tests"), "text"))["text"]
    out = capsys.readouterr().out
    assert all(line.partition("…")[0] in out for line in shown.splitlines() if line != "…")


def test_a_job_loads() -> None:
    shutil.copytree(ROOT / "mappings", "mappings")
    Path("jobs").mkdir()
    for name, text in [*yaml_blocks("mappings"), *yaml_blocks("jobs")]:
        Path(name).write_text(text, encoding="utf-8")
    jobs = [job for name, _ in yaml_blocks("jobs") for job in load_jobs(Path(name))]
    assert jobs and all(job.steps for job in jobs)


def test_a_source_section_loads() -> None:
    sections = yaml_sections("source")
    assert len(sections) > 1
    for text in sections:
        Path("source.yaml").write_text(text, encoding="utf-8")
        load_source((read_yaml(Path("source.yaml")).data or {})["source"], {"WAREHOUSE_URL": "sqlite:///shop.db"})


def test_a_state_section_loads() -> None:
    sections = yaml_sections("state")
    assert sections
    for text in sections:
        Path("state.yaml").write_text(text, encoding="utf-8")
        written = (read_yaml(Path("state.yaml")).data or {})["state"]
        written["database"] = resolve_address(written["database"], {"ETL_STATE_URL": "postgresql://db/etl"})
        assert validated(StateYaml, written)[1] == []


def test_a_notify_section_loads() -> None:
    (text,) = yaml_sections("notify")
    Path("cio-etl.yaml").write_text(text, encoding="utf-8")
    channels, problems = folder_channels(Path("cio-etl.yaml"), {})
    assert [each.kind for each in channels] == ["slack", "email", "webhook", "command"] and not problems


def test_the_five_minutes_run_as_they_are_written(tmp_path: Path) -> None:
    parts = blocks(section("README.md", "## Five minutes with your own CSV file"), "sh", "text")
    outputs = [in_a_shell(text, tmp_path) for kind, text in parts if kind == "sh"]
    assert [code for code, _ in outputs] == [0, 0, 0, 0, 0, 3, 3], outputs
    printed = iter(outputs)
    for (kind, _), (following, text) in pairwise([*parts, ("sh", "")]):
        _, output = next(printed) if kind == "sh" else (0, "")
        if following == "text":
            assert_printed(text, output)
    assert sorted(path.name for path in (tmp_path / "spring").iterdir()) == [".etl", "jobs", "mappings", "people.csv"]
    ((_, example),) = blocks(section("README.md", "## From Python"), "python")
    assert python(example, tmp_path / "spring").splitlines()[-1] == "3 3 1"
    (tmp_path / "spring/people.csv").write_text("customer_no,mail\n1,a@example.com\n")
    printed_error = python(example, tmp_path / "spring")
    assert "(exit code 65)\nfix the mapping, or the source" in printed_error and "Traceback" not in printed_error


def in_a_shell(lines: str, home: Path) -> tuple[int, str]:
    """The exit code and the output of the lines; a command of ours is forked, but for the first one, `init`."""
    folder, env = home / "spring", environment() | {"HOME": str(home)}
    if lines.startswith("cio-etl ") and " init " not in lines:
        return outcome(partial(start, *shlex.split(lines, comments=True)[1:], folder=folder, env=env))
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    return outcome(partial(spawn, ["bash", "-c", lines], cwd=folder if folder.exists() else home, env=env))


def python(code: str, folder: Path) -> str:
    """What the code prints, in an interpreter that works in the folder."""
    return outcome(partial(start_program, code, folder=folder))[1]


def outcome(started: Callable[..., Process | subprocess.Popen[str]]) -> tuple[int, str]:
    """The exit code of a process, and what it printed on both streams."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as printed:
        code = started(stdout=printed, stderr=printed).wait(timeout=60)
        printed.seek(0)
        return code, printed.read()


def test_the_demo_prints_what_the_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("jobs", "mappings"):
        shutil.copytree(ROOT / folder, folder)
    demo_data.write(Path(".etl/demo"))
    assert main(["validate", "jobs/demo.yaml"]) == 3
    _, shown = read("README.md").split("demo.sandbox-… finished: ")
    counts, lines = shown.split("\n```")[0].split("\n", 1)
    assert_printed(f"validation finished: {counts}\n{lines}", capsys.readouterr().out)


def test_doctor_prints_what_the_page_of_jobs_shows(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "mappings", "mappings")
    demo_data.write(Path(".etl/demo"))
    orders = Path("mappings/orders.yaml").read_text(encoding="utf-8")
    orders = orders.replace("column: cents", "column: total_cents").replace(" cents:", " total_cents:")
    Path("orders.yaml").write_text(orders, encoding="utf-8")
    customers = {"csv": ".etl/demo/customers.csv", "separator": ";"}, "mappings/customers.yaml"
    steps = {"customers": customers, "orders": ({"parquet": ".etl/demo/orders-*.parquet"}, "orders.yaml")}
    write_job(Path("shop.yaml"), sandbox.url, steps)
    monkeypatch.setenv(SITE_ID, "sandbox")
    monkeypatch.setenv(API_KEY, "sandbox")
    assert main(["doctor", "shop.yaml"]) == 65
    ((_, shown),) = blocks(section("jobs/README.md", "### Doctor"), "text")
    assert_printed(shown, capsys.readouterr().out)


def test_validate_prints_the_omitted_values_that_the_page_of_mappings_shows(capsys: pytest.CaptureFixture[str]) -> None:
    page = section("mappings/README.md", "## Values that cannot be sent")
    shown = dict(blocks(page, "yaml", "csv", "text"))
    Path("members.yaml").write_text(shown["yaml"], encoding="utf-8")
    Path("members.csv").write_text(shown["csv"], encoding="utf-8")
    write_job(Path("job.yaml"), "http://127.0.0.1:9", {"members": ({"csv": "members.csv"}, "members.yaml")})
    assert main(["validate", "job.yaml"]) == 3
    assert_printed(shown["text"], capsys.readouterr().out)


def assert_printed(shown: str, output: str) -> None:
    """Each line that is shown was printed, in this order; … stands for what is left out."""
    rest = output.splitlines()
    for line in shown.splitlines():
        pattern = re.escape(line).replace("…", ".*")
        place = next((place for place, came in enumerate(rest) if re.fullmatch(pattern, came)), None)
        assert place is not None, f"{line!r} was not printed, or not in this order:\n{output}"
        rest = rest[place + 1 :]
