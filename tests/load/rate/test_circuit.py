"""The budget of failures, and the outage that begins when it is empty, step by step."""

from __future__ import annotations

import pytest

from cio_etl.load.rate.circuit import DEGRADED, FULL, PROBE_S, Circuit


def fail(circuit: Circuit, times: int, now: float = 0.0, cost: float = 1.0, throttled: bool = False) -> Circuit:
    for _ in range(times):
        circuit = circuit.failed(now, cost, 0.0, throttled=throttled)
    return circuit


NEW = Circuit(counted_at=0.0, success_at=0.0)


@pytest.mark.parametrize(
    ("circuit", "remaining"),
    [
        pytest.param(fail(NEW, 10), FULL - 10, id="a failure costs one"),
        pytest.param(fail(NEW, 10, cost=2.0), FULL - 20, id="a time-out costs two"),
        pytest.param(fail(fail(NEW, 20), 1, now=5.0), FULL - 20 + 10 - 1, id="two a second come back"),
        pytest.param(fail(fail(NEW, 40), 1, now=60.0), FULL - 40 + 20 - 1, id="... for ten seconds without a success"),
        pytest.param(fail(NEW, 40).succeeded(0.0, 0.0), FULL - 40 + 0.25, id="a success refills a quarter"),
        pytest.param(NEW.succeeded(0.0, 0.0), FULL, id="never more than the full budget"),
    ],
)
def test_the_budget_of_failures_falls_and_recovers(circuit: Circuit, remaining: float) -> None:
    assert circuit.remaining == pytest.approx(remaining)
    assert circuit.is_degraded == (remaining < DEGRADED)
    assert not circuit.is_open


def test_one_failure_in_five_may_go_on_for_ever() -> None:
    circuit = NEW
    for _ in range(10_000):
        circuit = fail(circuit, 1)
        for _ in range(4):
            circuit = circuit.succeeded(0.0, 0.0)
    assert circuit.remaining == FULL


def test_an_outage_is_probed_after_a_second_then_less_and_less_often() -> None:
    circuit = fail(NEW, int(FULL), now=3.0)
    assert (circuit.open_since, circuit.probe_at) == (3.0, 4.0)
    probes = []
    for _ in range(7):
        probes.append(circuit.probe_at)
        circuit = circuit.probed(circuit.probe_at, 0.0)
    assert probes == [4.0, 6.0, 10.0, 18.0, 28.0, 38.0, 48.0]
    assert circuit.probed(48.0, 1.0).probe_at == 48.0 + 1.5 * PROBE_S  # jitter makes it later, never earlier


def test_only_the_success_of_a_request_sent_during_the_outage_ends_it() -> None:
    circuit = fail(NEW, int(FULL), now=3.0)
    assert circuit.succeeded(2.9, 5.0).is_open
    closed = circuit.succeeded(4.0, 5.0)
    assert (closed.is_open, closed.remaining, closed.success_at) == (False, DEGRADED, 5.0)


def test_answers_of_429_are_an_outage_only_when_nothing_succeeds() -> None:
    throttled = fail(NEW, 500, now=1.0, throttled=True)
    assert (throttled.is_open, throttled.remaining) == (False, 1.0)
    assert fail(throttled, 2, now=9.0, throttled=True).is_open is False
    assert fail(throttled, 30, now=11.0, throttled=True).is_open
