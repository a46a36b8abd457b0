"""Builds wheel and sdist, tries the wheel in an empty environment, and looks for weaknesses: `make release-check`.

    .venv-release/bin/python -m tests.release.check

Leaves the wheel, the sdist and the SBOM in dist/. The first step that fails ends it, with exit code 1.
"""

from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.release.contents import ROOT, faults, names, project

DIST = ROOT / "dist"
TOOLS = Path(sys.executable).parent
VERSION = project()["version"]
NAMES = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")  # what a command gets of this process's environment


class Failed(Exception):
    """A step has failed: what was run, and what it printed."""


def main() -> int:
    """Takes every step; 1 when one has failed."""
    try:
        check_texts()
        wheel = check_build()
        with tempfile.TemporaryDirectory(prefix="cio-etl-release-") as folder:
            python = check_install(wheel, Path(folder))
            check_commands(python, Path(folder))
            write_sbom(python)
            check_audit(python)
        check_code()
        check_container()
    except Failed as failed:
        print(f"FAILED: {failed}", file=sys.stderr)
        return 1
    print(f"all is well: {', '.join(sorted(path.name for path in DIST.iterdir()))} in dist/")
    return 0


def check_texts() -> None:
    """The version stands where a reader looks for it, and everything is committed."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if f"cio_etl-{VERSION}-py3-none-any.whl" not in (ROOT / "README.md").read_text(encoding="utf-8"):
        raise Failed(f"README.md names another wheel than that of version {VERSION}, in pyproject.toml")
    if changed := output("git", "status", "--porcelain"):
        print(f"note: what is built has changes that are not committed:\n{changed}")
    if f"## [{VERSION}]" not in changelog:
        print(f"note: CHANGELOG.md has no section [{VERSION}]; a release needs one")


def check_build() -> Path:
    """The wheel. It is made from the sdist, has what it should, and the same bytes when it is made from the tree."""
    shutil.rmtree(DIST, ignore_errors=True)
    built_at = output("git", "log", "-1", "--format=%ct").strip()
    build: list[str | Path] = [TOOLS / "python", "-m", "build", "--no-isolation"]
    with tempfile.TemporaryDirectory(prefix="cio-etl-build-") as folder:
        output(*build, "--outdir", DIST, SOURCE_DATE_EPOCH=built_at)
        output(*build, "--outdir", folder, "--wheel", "--sdist", SOURCE_DATE_EPOCH=built_at)
        archives = sorted(DIST.iterdir())
        if {path.name for path in archives} != {f"cio_etl-{VERSION}-py3-none-any.whl", f"cio_etl-{VERSION}.tar.gz"}:
            raise Failed(f"built: {', '.join(path.name for path in archives)}")
        for path in archives:
            if wrong := list(faults(path)):
                raise Failed("\n".join([path.name, *wrong]))
            if not filecmp.cmp(path, Path(folder) / path.name, shallow=False):
                raise Failed(f"{path.name}: made again, it has other bytes")
            print(f"built: {path.name}, {path.stat().st_size:,} bytes")
    known = {*output("git", "ls-files").splitlines(), "PKG-INFO"}
    if unknown := names(archives[1]) - known:
        raise Failed(f"in the sdist, and not in version control: {', '.join(sorted(unknown))}; commit or remove it")
    return archives[0]


def check_install(wheel: Path, folder: Path) -> Path:
    """The Python of an empty environment with the wheel and what it needs, and nothing else: no pip either."""
    venv = folder / "venv"
    output(sys.executable, "-m", "venv", "--without-pip", venv)
    pip: list[str | Path] = [TOOLS / "pip", "--python", venv / "bin/python", "--disable-pip-version-check", "--quiet"]
    output(*pip, "install", "--only-binary", ":all:", wheel)
    output(*pip, "check")
    print("installed; pip check finds nothing")
    return venv / "bin/python"


def check_commands(python: Path, folder: Path) -> None:
    """What somebody does who has the wheel alone, in an empty folder with an empty environment."""
    told = command(python, folder, "--version").strip()
    if not told.endswith(f" {VERSION}"):
        raise Failed(f"cio-etl --version prints {told!r}")
    print(told)
    done = command(python, folder, "demo")
    print(next(line for line in done.splitlines() if " finished: " in line))
    command(python, folder, "new", "shop")
    shop = folder / "shop"
    for words in ("check jobs/shop.yaml", "test jobs/shop.yaml mappings", "validate jobs/shop.yaml"):
        command(python, shop, *words.split())
    done = command(python, shop, "run", "jobs/shop.yaml", "--sandbox")
    print(next(line for line in done.splitlines() if " finished: " in line))
    command(python, folder, "presets", "stripe", "--into", "migration", "--sample")
    for shell in ("bash", "zsh", "fish"):
        command(python, folder, "completion", shell)


def write_sbom(python: Path) -> None:
    """dist/cio-etl-VERSION.cdx.json: every package of the environment, and no place of this machine."""
    file = DIST / f"cio-etl-{VERSION}.cdx.json"
    words: list[str | Path] = [
        "environment",
        "--pyproject",
        ROOT / "pyproject.toml",
        "--output-reproducible",
        "--output-file",
        file,
    ]
    output(TOOLS / "cyclonedx-py", *words, python)
    content = json.loads(file.read_text(encoding="utf-8"))
    _without_places(content)
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    listed = {component["name"].casefold().replace("_", "-") for component in content["components"]}
    lister = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    installed = {name.casefold().replace("_", "-") for name in output(python, "-c", lister).split()} - {"cio-etl"}
    if installed - listed:
        raise Failed(f"{file.name} lacks {', '.join(sorted(installed - listed))}")
    print(f"SBOM: {len(listed)} packages")


def _without_places(content: object) -> None:
    """Removes where a package came from: files of this machine, and the index that this machine uses."""
    if isinstance(content, dict):
        references = content.get("externalReferences")
        if isinstance(references, list):
            content["externalReferences"] = [each for each in references if each.get("type") != "distribution"]
        for value in content.values():
            _without_places(value)
    elif isinstance(content, list):
        for value in content:
            _without_places(value)


def check_audit(python: Path) -> None:
    """Known vulnerabilities of what was installed, where the service that knows them can be reached."""
    packages = output(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    with tempfile.TemporaryDirectory(prefix="cio-etl-audit-") as folder:
        file = Path(folder) / "audit.json"
        words: list[str | Path] = [
            "--path",
            packages,
            "--progress-spinner",
            "off",
            "--timeout",
            "10",
            "-f",
            "json",
            "-o",
            file,
        ]
        done = run([TOOLS / "pip-audit", *words], ROOT)
        if not file.exists():
            print(f"not audited: pip-audit could not run: {_last_line(done.stderr)}")
            return
        audited = json.loads(file.read_text(encoding="utf-8"))["dependencies"]
    print(audit_words(audited))


def audit_words(audited: Sequence[Mapping[str, Any]]) -> str:
    """What pip-audit found out. Raises Failed when a package has a known vulnerability.

    pip-audit succeeds, too, where its service knows no package: a mirror of an index has no vulnerabilities.
    """
    others = [each for each in audited if each["name"] != "cio-etl"]
    known = [each for each in others if "skip_reason" not in each]
    vulnerable = [
        f"{each['name']} {each['version']}: {', '.join(found['id'] for found in each['vulns'])}"
        for each in known
        if each["vulns"]
    ]
    if vulnerable:
        raise Failed("\n".join(["known vulnerabilities:", *vulnerable]))
    if not known:
        return f"not audited: the service that pip-audit asked knows none of the {len(others)} packages"
    unknown = [each["name"] for each in others if "skip_reason" in each]
    words = f"audited: {len(known)} packages without known vulnerabilities"
    return f"{words}; not audited: {', '.join(unknown)}" if unknown else words


def check_code() -> None:
    """Bandit's findings: none that is not marked with its reason."""
    done = run([TOOLS / "bandit", "--quiet", "-c", ROOT / "pyproject.toml", "-r", ROOT / "etl/cio_etl"], ROOT)
    if done.returncode:
        raise Failed(f"bandit:\n{done.stdout}")
    print("bandit: no finding")


def check_container() -> None:
    """The container file, as hadolint reads it."""
    output(TOOLS / "hadolint", ROOT / ".container/Containerfile")
    print("hadolint: no finding")


def command(python: Path, folder: Path, *words: str) -> str:
    """What `cio-etl` of the environment prints; the environment has only what every process needs."""
    return output(python.parent / "cio-etl", *words, folder=folder, only=True)


def output(*words: str | Path, folder: Path = ROOT, only: bool = False, **more: str) -> str:
    """What a command prints on stdout. Raises Failed when it fails, with all that it has printed.

    only: without this process's environment, such as the settings of pip.
    """
    done = run(words, folder, only=only, more=more)
    if done.returncode:
        raise Failed(f"exit code {done.returncode} of {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def run(
    words: Sequence[str | Path], folder: Path, *, only: bool = False, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, in a folder."""
    env = {name: value for name, value in os.environ.items() if not only or name in NAMES} | (
        dict(more) if more else {}
    )
    env.pop("PYTHONPATH", None)
    return subprocess.run(
        [str(word) for word in words], cwd=folder, env=env, capture_output=True, text=True, timeout=900
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return re.sub(r"https?://\S+|host='[^']*'", "…", lines[-1])[:200] if lines else "it said nothing"


if __name__ == "__main__":
    sys.exit(main())
