"""Seeds each defect of mutant_list.py in a copy of the program, and checks that the tests named for it fail.

    python -m tests.mutants [WORD …] [--workers 2]

Only the defects whose name holds a WORD; without one, all. It ends with 1 when a defect survives, or when its text is
not in the file exactly once.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cio_etl
from tests.mutant_list import MUTANTS, Mutant

PACKAGE = Path(cio_etl.__file__).parent
ROOT = Path(__file__).parents[1]
LIMIT_S = 120  # of one selection; a defect that makes a test wait for ever is caught, too
FAILED = 1  # pytest's exit code when tests ran and some failed; others are no proof
# An editable installation may come before PYTHONPATH, which the processes that tests start get from this one.
RUN = "import sys; sys.path.insert(0, sys.argv[1]); import pytest; sys.exit(pytest.main(sys.argv[2:]))"


def occurrences(mutant: Mutant) -> int:
    """How often the text that the defect replaces is in its file."""
    return (PACKAGE / mutant.file).read_text(encoding="utf-8").count(mutant.old)


def outcome(mutant: Mutant) -> str:
    """Seeds the defect and runs its tests: `caught`, or what is wrong."""
    if (times := occurrences(mutant)) != 1:
        return f"its text is in {mutant.file} {times} times"
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder) / PACKAGE.name
        half_written = shutil.ignore_patterns("*.pyc.*")  # by another process, which renames it at any moment
        shutil.copytree(PACKAGE, copy, ignore=half_written)  # with what is compiled, which saves a second
        path = copy / mutant.file
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()
        path.write_text(path.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        command = [sys.executable, "-c", RUN, folder, *options, *shlex.split(mutant.tests)]
        environment = os.environ | {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            return "caught"
    if done.returncode == FAILED:
        return "caught"
    return "survived" if done.returncode == 0 else f"pytest ended with {done.returncode}: {done.stdout[-300:]}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Seed defects, and see the tests fail.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only the defects whose name holds one of these")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    chosen = [each for each in MUTANTS if not options.words or any(word in each.name for word in options.words)]
    with ThreadPoolExecutor(options.workers) as workers:
        outcomes = []
        for mutant, result in zip(chosen, workers.map(outcome, chosen), strict=True):
            print(f"{result:<10} {mutant.name} ({mutant.file})", flush=True)
            outcomes.append(result)
    caught = outcomes.count("caught")
    print(f"{caught} of {len(chosen)} defects caught")
    return 0 if chosen and caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
