"""The retry budget and what happens when it is empty, step by step."""

from __future__ import annotations

import pytest

from cio_etl.load.rate.circuit import DEGRADED, FULL, PROBE_S, Circuit


def fail(circuit: Circuit, times: int, now: float = 0.0, cost: float = 1.0, throttled: bool = False) -> Circuit:
    for _ in range(times):
        circuit = circuit.failed(now, cost, 0.0, throttled=throttled)
    return circuit


NEW = Circuit(at=0.0, taken_at=0.0)


@pytest.mark.parametrize(
    ("circuit", "left"),
    [
        pytest.param(fail(NEW, 10), FULL - 10, id="a failure costs one"),
        pytest.param(fail(NEW, 10, cost=2.0), FULL - 20, id="a time-out two"),
        pytest.param(fail(fail(NEW, 20), 1, now=5.0), FULL - 20 + 10 - 1, id="two a second come back"),
        pytest.param(fail(fail(NEW, 40), 1, now=60.0), FULL - 40 + 20 - 1, id="for ten seconds, if nothing is taken"),
        pytest.param(fail(NEW, 40).taken(0.0, 0.0), FULL - 40 + 0.25, id="what is taken earns a quarter"),
        pytest.param(NEW.taken(0.0, 0.0), FULL, id="never more than all"),
    ],
)
def test_what_is_left_of_the_budget(circuit: Circuit, left: float) -> None:
    assert circuit.left == pytest.approx(left)
    assert circuit.is_degraded == (left < DEGRADED)
    assert not circuit.is_open


def test_one_failure_in_five_may_go_on_for_ever() -> None:
    circuit = NEW
    for _ in range(10_000):
        circuit = fail(circuit, 1)
        for _ in range(4):
            circuit = circuit.taken(0.0, 0.0)
    assert circuit.left == FULL


def test_when_it_is_empty_somebody_asks_after_a_second_then_ever_more_seldom() -> None:
    circuit = fail(NEW, int(FULL), now=3.0)
    assert (circuit.open_since, circuit.probe_at) == (3.0, 4.0)
    asked = []
    for _ in range(7):
        asked.append(circuit.probe_at)
        circuit = circuit.probed(circuit.probe_at, 0.0)
    assert asked == [4.0, 6.0, 10.0, 18.0, 28.0, 38.0, 48.0]
    assert circuit.probed(48.0, 1.0).probe_at == 48.0 + 1.5 * PROBE_S  # jitter makes it later, never earlier


def test_only_what_was_sent_during_the_outage_can_end_it() -> None:
    circuit = fail(NEW, int(FULL), now=3.0)
    assert circuit.taken(2.9, 5.0).is_open
    closed = circuit.taken(4.0, 5.0)
    assert (closed.is_open, closed.left, closed.taken_at) == (False, DEGRADED, 5.0)


def test_being_told_to_slow_down_is_an_outage_only_when_nothing_is_taken() -> None:
    slowed = fail(NEW, 500, now=1.0, throttled=True)
    assert (slowed.is_open, slowed.left) == (False, 1.0)
    assert fail(slowed, 2, now=9.0, throttled=True).is_open is False
    assert fail(slowed, 30, now=11.0, throttled=True).is_open
