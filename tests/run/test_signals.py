"""What does a signal do, and what if something else hears it? The first one drains."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from cio_etl.errors import Interrupted
from cio_etl.report.streams import say
from cio_etl.run import Signals


def test_the_first_signal_drains_and_the_second_stops(capsys: pytest.CaptureFixture[str]) -> None:
    drained: list[bool] = []
    with Signals(lambda line: say(line, err=True)) as signals, signals.draining(lambda: drained.append(True)):
        os.kill(os.getpid(), signal.SIGTERM)
        assert (signals.received, drained) == ("SIGTERM", [True])
        with pytest.raises(Interrupted, match="stopped by SIGINT"):
            os.kill(os.getpid(), signal.SIGINT)
    assert "SIGTERM: finishing what is under way; once more to stop now" in capsys.readouterr().err


def test_who_hears_a_signal_elsewhere_may_ask_for_it_as_often_as_it_comes() -> None:
    drained: list[bool] = []
    with Signals() as signals, signals.draining(lambda: drained.append(True)):
        signals.ask("SIGTERM")
        signals.ask("SIGTERM")
    assert (signals.received, drained) == ("SIGTERM", [True, True])


def test_in_a_thread_of_its_own_nothing_is_heard_but_what_is_asked() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with Signals() as signals:
            seen.append(signal.getsignal(signal.SIGTERM))
            signals.ask("SIGTERM")
            seen.append(signals.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, "SIGTERM"]


def test_a_signal_that_came_before_is_not_forgotten() -> None:
    drained: list[str] = []
    with Signals() as signals:
        with signals.draining(lambda: drained.append("outer")):
            signals.ask("SIGTERM")
            with signals.draining(lambda: drained.append("inner")):
                assert drained == ["outer", "inner"]
            signals.ask("SIGTERM")
        assert drained == ["outer", "inner", "outer"]
        with signals.draining(lambda: drained.append("next")):
            assert drained[-1] == "next"
