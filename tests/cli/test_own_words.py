"""Whatever goes wrong ends in two lines on stderr: no traceback, and no words of a library, which may hold values."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

import cio_etl
from cio_etl.cli import main
from cio_etl.cli.own_words import only_own_words
from cio_etl.errors import Bug, SourceError, failure_of
from cio_etl.run import open_step
from cio_etl.transform import Compiled

Captured = pytest.CaptureFixture[str]

JOB = """
destination: {region: us, site_id: "${SITE}", api_key: "${KEY}"}
steps:
  - {name: people, source: {csv: people.csv}, mapping: people.yaml}
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text("id\nsecret\n")
    Path("people.yaml").write_text("operation: identify\nidentifiers: {id: id}\n")
    Path("job.yaml").write_text(JOB)
    return "job.yaml"


def panic(*_: object, **__: object) -> None:
    """A panic of polars, as it is."""
    pl.DataFrame(pa.table({"secret": pa.array([1], pa.decimal256(50, 2))}))


def nested(*_: object, **__: object) -> None:
    deeper()


def deeper() -> None:
    """Without parameters: Python 3.13.0 counts no calls with `*`, and takes all memory."""
    deeper()


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


FAILURES: dict[str, tuple[Callable[..., None], int, str, str]] = {
    "a panic": (panic, 1, "a bug in cio-etl: unexpected PanicException, ", "; the state is intact"),
    "a bug": (raising(KeyError("secret")), 1, "a bug in cio-etl: unexpected KeyError, ", "; the state is intact"),
    "memory": (raising(MemoryError()), 74, "memory has run out: ", "(`ulimit -v`"),
    "memory of Arrow": (raising(pa.ArrowMemoryError("secret")), 74, "memory has run out: ", "(`ulimit -v`"),
    "memory for a library": (
        raising(ImportError("x.so: failed to map segment from shared object")),
        74,
        "memory has run out: ",
        "(`ulimit -v`",
    ),
    "threads": (raising(RuntimeError("can't start new thread")), 74, "no thread could be started: ", "(`ulimit -u`"),
    "memory of the system": (raising(OSError(errno.ENOMEM, "secret")), 74, "memory has run out: ", "(`ulimit -v`"),
    "open files": (raising(OSError(errno.EMFILE, "secret")), 74, "too many files are open: ", "(`ulimit -n`"),
    "depth": (nested, 65, "a value, or a file, nests more than 1,000 levels deep", ""),
}


@pytest.mark.fault("P7")
@pytest.mark.parametrize("command", ["run", "validate", "preview"])
@pytest.mark.parametrize(("fail", "exit_code", "first", "last"), FAILURES.values(), ids=FAILURES.keys())
def test_any_failure_is_two_lines(
    job: str,
    capfd: Captured,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    fail: Callable[..., None],
    exit_code: int,
    first: str,
    last: str,
) -> None:
    monkeypatch.setattr(Compiled, "items", fail)  # patches, as in test_cli: how else to make each of these?
    monkeypatch.setattr(Compiled, "mapped", fail)
    monkeypatch.setattr(sys, "getrecursionlimit", lambda: 1000)
    sandbox = ["--sandbox"] if command == "run" else []
    assert main([command, job, *sandbox]) == exit_code
    err = capfd.readouterr().err
    lines = [line for line in err.splitlines() if "[info" not in line and not line.startswith(("note", "${"))]
    assert lines[-2].startswith(first) and last in lines[-2]
    assert not {"Traceback", "panicked", "secret"} & {
        word for word in ("Traceback", "panicked", "secret") if word in err
    }
    if command == "run":
        assert "cio-etl run job.yaml --sandbox" in lines[-1]


def test_the_python_api_raises_etl_errors_only(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_step, "open_step_source", panic)
    with pytest.raises(Bug, match="unexpected PanicException") as caught:
        cio_etl.run(job, sandbox=True)
    assert caught.value.__suppress_context__


def test_an_exception_that_is_no_failure_passes_unchanged(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Timeout(BaseException):
        """As Airflow's AirflowTaskTimeout."""

    monkeypatch.setattr(open_step, "open_step_source", raising(Timeout()))
    with pytest.raises(Timeout):
        cio_etl.run(job, sandbox=True)


def test_an_own_error_is_reported_unchanged() -> None:
    error = SourceError("copy it again", place="x", what="is damaged")
    assert failure_of(error) is error


def test_a_thread_that_fails_shows_no_traceback_and_no_value(capfd: Captured) -> None:
    def fail() -> None:
        raise ValueError("secret")

    with only_own_words():
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    err = capfd.readouterr().err
    assert err.startswith("a thread failed: unexpected ValueError, ") and "secret" not in err and err.count("\n") == 1


def test_text_that_libraries_write_to_stderr_is_dropped_and_our_own_is_not(capfd: Captured) -> None:
    with only_own_words():
        os.write(2, b"panicked at secret")
        print("ours", file=sys.stderr)
    os.write(2, b"after\n")
    assert capfd.readouterr().err.splitlines() == ["ours", "after"]


def test_a_process_prints_only_its_own_text() -> None:
    code = (
        "import os, sys; from cio_etl.cli.own_words import only_own_words\n"
        "with only_own_words():\n"
        " os.write(2, b'panicked'); print('ours', file=sys.stderr)\n"
        "print('after', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "ours\nafter\n"
