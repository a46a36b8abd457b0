"""The first signal drains the run, and a hanging process is ended."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from cio_etl.errors import Interrupted
from cio_etl.log.streams import say
from cio_etl.run import Signals


def until(condition: Callable[[], bool]) -> bool:
    """Waits until another thread has made the condition true, or for some seconds."""
    ends_at = time.monotonic() + 10.0
    while not condition() and time.monotonic() < ends_at:
        threading.Event().wait(0.005)
    return condition()


def test_the_first_signal_drains_and_the_second_stops(capsys: pytest.CaptureFixture[str]) -> None:
    drained: list[bool] = []
    lines: list[str] = []

    def note(line: str) -> None:
        say(line, err=True)
        lines.append(line)

    with Signals(note) as signals, signals.draining(lambda: drained.append(True)):
        os.kill(os.getpid(), signal.SIGTERM)
        assert until(lambda: len(lines) == 1)
        assert (signals.received, drained) == ("SIGTERM", [True])
        with pytest.raises(Interrupted, match="stopped by SIGINT"):
            os.kill(os.getpid(), signal.SIGINT)
        assert until(lambda: len(drained) == 2)
    assert capsys.readouterr().err == "SIGTERM: finishing what is under way; once more to stop now\n"


def test_two_signals_before_the_main_thread_looks_are_two() -> None:
    """Python calls a handler once for both, and another thread gets them: the main thread waits on."""

    def send() -> None:
        for _ in range(2):
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    with Signals() as signals, signals.draining(lambda: None), pytest.raises(Interrupted, match="stopped by SIGINT"):
        threading.Thread(target=send).start()
        assert not threading.Event().wait(4.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_outside_of_a_drained_block_stops_at_once(number: signal.Signals) -> None:
    with Signals() as signals:
        with pytest.raises(Interrupted, match=f"stopped by {number.name}") as stopped:
            os.kill(os.getpid(), number)
        assert (signals.received, stopped.value.exit_code) == (number.name, 143)


def test_a_run_that_nohup_has_started_goes_on_when_the_terminal_is_closed() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.timeout(30)
@pytest.mark.fault("P9")
def test_a_signal_does_not_wait_for_a_lock_that_the_main_thread_holds() -> None:
    """The event's own lock: the main thread takes it for an instant whenever it waits."""
    event = threading.Event()
    with Signals() as signals, signals.draining(event.set):
        with event._cond:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals.received == "SIGTERM" and not event._flag  # type: ignore[attr-defined]
        assert event.wait(10.0)


@pytest.mark.timeout(60)
@pytest.mark.fault("P9")
def test_hundreds_of_signals_at_any_moment_of_a_wait_block_no_run() -> None:
    rounds = queue.SimpleQueue[bool]()
    main = threading.main_thread().ident
    assert main is not None

    def send() -> None:
        while rounds.get():
            signal.pthread_kill(main, signal.SIGTERM)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    for _ in range(400):
        event = threading.Event()
        with Signals() as signals, signals.draining(event.set):
            rounds.put(True)
            while not event.wait(0.0001):
                pass
    rounds.put(False)
    sender.join()


def test_a_caller_with_its_own_signal_handler_may_request_a_stop_several_times() -> None:
    drained: list[bool] = []
    notes: list[str] = []
    with Signals(notes.append) as signals, signals.draining(lambda: drained.append(True)):
        signals.ask("SIGTERM")
        signals.ask("SIGTERM")
        assert until(lambda: len(drained) == 2)
    assert (signals.received, notes) == ("SIGTERM", [])


def test_a_request_outside_of_the_block_drains_at_once() -> None:
    drained: list[bool] = []
    signals = Signals()
    with signals.draining(lambda: drained.append(True)):
        signals.ask("SIGINT")
    assert (signals.received, drained) == ("SIGINT", [True])


def test_outside_of_the_main_thread_only_requests_stop_the_run() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with Signals() as signals, signals.draining(lambda: seen.append("drained")):
            seen.append(signal.getsignal(signal.SIGTERM))
            signals.ask("SIGTERM")
            seen.append(signals.received)
            until(lambda: "drained" in seen)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0] == before and set(seen[1:]) == {"SIGTERM", "drained"}


def test_a_block_that_starts_after_a_signal_drains_at_once() -> None:
    drained: list[str] = []
    signals = Signals()
    with signals.draining(lambda: drained.append("outer")):
        signals.ask("SIGTERM")
        with signals.draining(lambda: drained.append("inner")):
            assert drained == ["outer", "inner"]
        signals.ask("SIGTERM")
    assert drained == ["outer", "inner", "outer"]
    with signals.draining(lambda: drained.append("next")):
        assert drained[-1] == "next"


def test_the_earlier_handlers_and_pipe_are_restored() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    handlers, pipe = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)], signal.set_wakeup_fd(writing)
    try:
        with Signals():
            assert signal.getsignal(signal.SIGTERM) != handlers[1]
    finally:
        assert signal.set_wakeup_fd(pipe) == writing
        os.close(reading)
        os.close(writing)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not any(thread.name == "signals" for thread in threading.enumerate())


HANGING = """
import contextlib, ctypes, sys
from cio_etl.errors import Interrupted
from cio_etl.run import Signals

libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
with Signals(lambda line: print(line, file=sys.stderr, flush=True), 0.05, "to go on: again", 0.05) as signals:
    with signals.draining(lambda: None) if "drained" in sys.argv else contextlib.nullcontext():
        libc.pthread_mutex_lock(mutex)
        try:
            print("hanging", flush=True)
            libc.pthread_mutex_lock(mutex)  # never returns, and no signal ends it
        except Interrupted:  # the signal came before the call
            libc.pthread_mutex_lock(mutex)
"""


@pytest.mark.timeout(60)
@pytest.mark.fault("P9", "P10")
@pytest.mark.parametrize("drained", [False, True])
@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_inside_a_library_that_does_not_return_ends_after_the_grace(
    sent: signal.Signals, exit_code: int, drained: bool
) -> None:
    command = [sys.executable, "-c", HANGING, *["drained"] * drained]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "hanging\n"
        process.send_signal(sent)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    noted = f"{sent.name}: finishing what is under way; once more to stop now\n" if drained else ""
    assert process.returncode == exit_code
    assert said == (
        f"{noted}stopped by {sent.name}, and ended 0.1 s later because it was still at work\nto go on: again\n"
    )
