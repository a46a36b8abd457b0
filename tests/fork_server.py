"""Starts processes of the program that need not import it: each is forked from a server that has imported it.

A new interpreter needs 0.7 to 1 s of CPU before `cio-etl` does anything, a fork some 0.02 s. The server itself maps
no rows, and so polars has no threads when it forks. What a new interpreter has and a fork has not is tested where
`running.start_anew` is used: a hash seed of its own, and limits from before its start.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the command does: the server imports numpy before it runs one

import cio_etl

# What the program imports where it needs it, of what many tests need; the libraries of most sources are not among it.
LAZY = (
    *("encodings.idna", "encodings.utf_8_sig", "httpx", "jinja2", "numpy.ma", "psycopg", "rich._emoji_codes"),
    *("rich.table", "sqlalchemy.dialects.sqlite", "structlog"),
    *("starlette.applications", "uvicorn.lifespan.off", "uvicorn.loops.asyncio", "uvicorn.protocols.http.h11_impl"),
)
LARGEST_REQUEST = 65_536
_FILES = {  # of a job that is read once for all forks
    "job.yaml": "destination: {site_id: '${A}', api_key: '${B}'}\n"
    "steps:\n- {name: people, source: {csv: FOLDER/people.csv}, mapping: FOLDER/mapping.yaml}\n",
    "mapping.yaml": "operation: identify\nidentifiers: {id: number}\nattributes: {name: name}\n",
}
NUMBER = struct.Struct("!q")  # what a process' socket carries: first its pid, at last its exit code


class Process:
    """A forked process; what `subprocess.Popen` calls by these names."""

    def __init__(self, pid: int, life: socket.socket, stdout: IO[str] | None, stderr: IO[str] | None) -> None:
        self.pid, self.stdout, self.stderr = pid, stdout, stderr
        self.returncode: int | Any = None  # as Popen's: None while it runs
        self._life = life  # on which the server tells the exit code

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._life.settimeout(timeout)
            try:
                self.returncode = _number_from(self._life)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0) from None
            self._life.close()
        return self.returncode

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What is printed on stdout and on stderr until the process ends; nothing of what is no pipe."""
        printed = {"stderr": ""}

        def read_stderr() -> None:
            printed["stderr"] = self.stderr.read() if self.stderr else ""

        reader = threading.Thread(target=read_stderr, daemon=True)
        reader.start()
        stdout = self.stdout.read() if self.stdout else ""
        reader.join()
        self.wait(timeout)
        self.close_pipes()
        return stdout, printed["stderr"]

    def close_pipes(self) -> None:
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def signal_group(self, number: int) -> None:
        """Sends a signal to the process and to those that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close_pipes()
        self.wait()


class ForkServer:
    """The server, as a test process sees it. It ends with the test process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair()
        path = os.pathsep.join([environment["PYTHONPATH"], str(Path(__file__).parents[1])])
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**environment, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        atexit.register(self.close)

    def start(
        self,
        program: str | None,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        deadline_s: int,
        stdout: int | IO[Any] | None = subprocess.PIPE,
        stderr: int | IO[Any] | None = subprocess.PIPE,
    ) -> Process:
        """Starts `cio-etl` with these arguments, or a Python program, in a session of its own."""
        request = {"program": program, "arguments": list(arguments), "folder": str(folder.absolute())}
        encoded = json.dumps(request | {"environment": dict(environment), "deadline_s": deadline_s}).encode()
        if len(encoded) > LARGEST_REQUEST:
            raise ValueError(f"a request of {len(encoded)} bytes is longer than {LARGEST_REQUEST}")
        life, theirs = socket.socketpair()
        opened, pipes, fds = [theirs.detach()], [], []
        for stream, default in ((stdout, 1), (stderr, 2)):
            pipe = None
            if stream == subprocess.PIPE:
                ours, end = os.pipe()
                pipe = open(ours, encoding="utf-8")  # noqa: SIM115  # the process' owner closes it
                opened.append(end)
                fds.append(end)
            elif stream == subprocess.DEVNULL:
                opened.append(os.open(os.devnull, os.O_WRONLY))
                fds.append(opened[-1])
            elif stream is None:
                fds.append(default)
            else:
                fds.append(stream if isinstance(stream, int) else stream.fileno())
            pipes.append(pipe)
        try:
            with self._lock:
                socket.send_fds(self._channel, [len(encoded).to_bytes(4, "big")], [opened[0], *fds])
                self._channel.sendall(encoded)
        finally:
            for descriptor in opened:
                os.close(descriptor)
        return Process(_number_from(life), life, *pipes)

    def close(self) -> None:
        self._channel.close()
        self._server.wait()


def _number_from(life: socket.socket) -> int:
    received = life.recv(NUMBER.size)
    if not received:
        raise RuntimeError("the fork server has ended")
    return int(NUMBER.unpack(received)[0])


# ---------------------------------------------------------------- in the server


def _import_all() -> None:
    for module in pkgutil.walk_packages(cio_etl.__path__, "cio_etl."):
        if not module.name.startswith(("cio_etl.airflow", "cio_etl.extract.")) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in LAZY:
        with suppress(ModuleNotFoundError):
            importlib.import_module(name)
    templates = importlib.import_module("cio_etl.report.templates")
    for path in Path(templates.__file__ or "").parent.glob("*.j2"):
        templates.template(path.name)  # compiled once for all
    for kind in importlib.import_module("cio_etl.config.json_schema").KINDS:
        importlib.import_module("cio_etl.config").schema_text(kind)  # likewise


def _prepare_all() -> None:
    """Does for all forks what each would do once: models of a job's files, statements of a state, routes of a sandbox.

    polars' threads are not started: a fork would not have them.
    """
    from cio_etl.model import Bookmark, Counts, LaneProgress
    from cio_etl.run import compared
    from cio_etl.sandbox.app import make_app
    from cio_etl.sandbox.workspace import Workspace
    from cio_etl.state import build_report, open_store
    from tests.state.runs import RUN, begin

    threads = _kinds_of_threads()
    make_app(Workspace())
    with tempfile.TemporaryDirectory() as folder:
        for name, text in _FILES.items():
            Path(folder, name).write_text(text.replace("FOLDER", folder), encoding="utf-8")
        cio_etl.load_job(Path(folder, "job.yaml"), secrets=False)
        with closing(open_store(Path(folder))) as store:
            committer = begin(store)
            store.note_columns(RUN.run_id, 0, "{}")
            store.note_findings(RUN.run_id, 0, [])
            committer.commit(LaneProgress(0, 1, 2, Counts(accepted=1)), [])
            leases = store.leases(RUN.run_id, 0, "here:1:0")
            leases.claim(leases.summary().free, "print")
            leases.finish(range(4))
            for asked in (store.settled, store.has_sent, store.steps, store.run):
                asked(RUN.run_id)
            store.has_started(RUN.run_id, 0, by_others=False)
            store.reject_counts(RUN.run_id, 0)
            store.salt()
            store.bookmark(RUN.job, "people")
            store.end_step(RUN.run_id, 0, finished=True, rows_read=1, seconds=1.0, rejects=[], bookmark=Bookmark())
            store.end(RUN.run_id, "finished", 0, None)
            compared(store, build_report(store, RUN))
            store.runs()
    assert _kinds_of_threads() == threads


def _kinds_of_threads() -> set[str]:
    return {path.read_text() for path in Path("/proc/self/task").glob("*/comm")}


def _serve(channel: socket.socket) -> None:
    """Forks for each request, and tells on its third socket how the process ended."""
    lives: dict[int, socket.socket] = {}
    woken, wakes = socket.socketpair()
    for end in (woken, wakes):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    gc.freeze()  # its pages stay shared with the forks
    gc.enable()
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                woken.recv(4_096)
                _reap(lives)
            if channel in ready:
                length, fds, _, _ = socket.recv_fds(channel, 4, 3)
                if not length:
                    break
                request = channel.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    selector.close()
                    for other in (channel, woken, wakes, *lives.values()):
                        other.close()
                    _become(json.loads(request), *fds)
                lives[pid] = socket.socket(fileno=fds[0])
                for descriptor in fds[1:]:
                    os.close(descriptor)
    for pid in lives:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    while lives:
        _reap(lives, 0)


def _reap(lives: dict[int, socket.socket], flags: int = os.WNOHANG) -> None:
    while lives:
        pid, status = os.waitpid(-1, flags)
        if not pid:
            return
        with lives.pop(pid) as life, suppress(BrokenPipeError, ConnectionResetError):
            life.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _become(request: Mapping[str, Any], life: int, stdout: int, stderr: int) -> None:
    """Makes the forked process what a new interpreter is, runs its program, and ends."""
    code = 1
    try:
        os.setsid()
        with socket.socket(fileno=life) as its_life:
            its_life.sendall(NUMBER.pack(os.getpid()))
        signal.alarm(request["deadline_s"])
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        for descriptor in {stdout, stderr} - {1, 2}:
            os.close(descriptor)
        sys.stdout = sys.__stdout__ = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", False)), "utf-8")  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = io.TextIOWrapper(  # type: ignore[misc]
            io.BufferedWriter(io.FileIO(2, "w", False)), "utf-8", "backslashreplace", line_buffering=True
        )
        os.environ.clear()
        os.environ |= request["environment"]
        time.tzset()
        os.chdir(request["folder"])
        code = _run(request["program"], request["arguments"])
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the interpreter's end does
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            code = 120
        os._exit(code)


def _run(program: str | None, arguments: Sequence[str]) -> int:
    if program is None:
        from cio_etl.cli import main

        sys.argv = ["cio-etl", *arguments]
        return main()
    sys.argv = ["-c", *arguments]
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
    return 0


if __name__ == "__main__":
    gc.disable()  # what is imported is no garbage
    _import_all()
    _prepare_all()
    with socket.socket(fileno=int(sys.argv[1])) as of_the_tests:
        _serve(of_the_tests)
    os._exit(0)  # libraries may complain about what an interpreter leaves at its end
