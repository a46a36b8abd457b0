"""The container file: what it is made of, who runs in it, and what hadolint says. `make container` builds it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.release.contents import ROOT, of_wheel

FILE = ROOT / ".container/Containerfile"
HADOLINT = ROOT / ".venv-release/bin/hadolint"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the file, with continued lines joined: name and arguments."""
    text = re.sub(r"\\\n\s*", "", "\n".join(line for line in FILE.read_text().splitlines() if not line.startswith("#")))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def of(name: str) -> list[str]:
    return [rest for each, rest in instructions() if each == name]


def test_the_program_is_process_1_and_gets_the_signals_and_is_not_root() -> None:
    assert json.loads(of("ENTRYPOINT")[0]) == ["cio-etl"], "in the form without a shell, which would get the signal"
    names = [name for name, _ in instructions()]
    assert of("USER") == ["10001:10001"]
    assert "RUN" not in names[names.index("USER") :], "nothing is made for root behind it"
    assert of("VOLUME") == ["/var/lib/cio-etl"] and "ETL_STATE=/var/lib/cio-etl" in of("ENV")[1]


def test_everything_is_installed_from_files_with_known_hashes() -> None:
    pips = [
        part for run in of("RUN") for part in run.split("&&") if re.search(r"\bpip\b.* (install|wheel|download)", part)
    ]
    assert len(pips) == 4
    assert [part for part in pips if "--require-hashes" not in part and "--no-index" not in part] == []
    assert "--hash=sha256:" in (ROOT / ".ci/constraints.txt").read_text()
    assert of("COPY") == [".ci/constraints.txt .", ". source", "--from=build /opt/cio-etl /opt/cio-etl"]


def test_the_image_has_the_extras_that_the_tests_cover() -> None:
    tested = re.search(r"(?m)^TESTED := (.+)$", (ROOT / "Makefile").read_text())
    assert tested is not None and f"EXTRAS={','.join(tested[1].split())}" in of("ARG")


def sent(path: str) -> bool:
    """Whether .dockerignore lets a file through: the last of its lines that fits decides."""
    is_sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#"):
            inner = pattern.removeprefix("**/")
            names = path.split("/") if inner != pattern else ["/".join(path.split("/")[: pattern.count("/") + 1])]
            if any(fnmatchcase(name, inner) for name in names):
                is_sent = line.startswith("!")
    return is_sent


def test_the_builder_gets_what_the_wheel_is_made_of_and_no_secret() -> None:
    parts = {name.replace("cio_etl/", "etl/cio_etl/", 1) for name in of_wheel()}
    own = {name for name in parts if (ROOT / name).is_file()} | {"pyproject.toml", "README.md", "LICENSE"}
    assert len(own) > 400 and [name for name in own if not sent(name)] == []
    assert sent("mappings/presets/stripe/preset.yaml") and sent("jobs/demo.yaml") and sent(".ci/constraints.txt")
    for name in (
        ".env",
        "jobs/.env",
        ".etl/state.db",
        "jobs/.etl/state.db",
        ".git/config",
        "tests/conftest.py",
        ".venv/x",
    ):
        assert not sent(name), name


@pytest.mark.slow
def test_hadolint_finds_nothing(tmp_path: Path) -> None:
    if not HADOLINT.exists():
        pytest.skip("there is no .venv-release; `make release-check` builds it")
    assert subprocess.run([HADOLINT, FILE], timeout=60).returncode == 0
    (tmp_path / "Containerfile").write_text(FILE.read_text().replace('["cio-etl"]', "cio-etl"))
    assert subprocess.run([HADOLINT, tmp_path / "Containerfile"], timeout=60).returncode == 1


@pytest.mark.slow
def test_without_a_builder_the_file_is_linted_or_it_is_said_what_would_lint_it(tmp_path: Path) -> None:
    found = shutil.which("dirname")
    assert found is not None
    (tmp_path / "dirname").symlink_to(found)
    script = ROOT / "tests/release/container.sh"
    done = subprocess.run(
        ["/bin/sh", script], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True, timeout=60
    )
    told = "linted: hadolint finds nothing" if HADOLINT.exists() else "not linted: make release-check installs hadolint"
    assert done.stdout.splitlines() == ["not built: install podman, buildah or docker, whose engine must answer", told]
