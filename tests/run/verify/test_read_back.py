"""People are read back through the App API: identifiers, statuses, network, rate; against the sandbox's server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import httpx
import polars as pl
import pytest
from pydantic import SecretStr

from cio_etl.apis.app import Profile
from cio_etl.errors import CredentialsRefused, DestinationUnavailable
from cio_etl.model import Destination
from cio_etl.run.verify import ReadBack, Sample, verified
from cio_etl.run.verify.read_back import UNREADABLE
from cio_etl.sandbox import Answer, Faults, Sandbox
from tests.sandbox_client import AUTH, identify, send

HASHES = pl.Schema({"position": pl.Int64, "key": pl.String, "hash": pl.UInt64, "item": pl.String})
ODD = ["1", "a/b", "a?b", "a#b", "50%", "a b", "a%2Fb", ".", "..", "é\u4e2d", "+1", "\\", "ann@example.com"]


@dataclass(slots=True)
class Clock:
    """A clock that moves when somebody waits."""

    at: float = 0.0
    ends: list[float] = field(default_factory=list)  # of the waits

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.ends.append(self.at)


def destination(sandbox: Sandbox, key: str = "sandbox", budget_s: float = 60.0) -> Destination:
    credentials = {"site_id": SecretStr("sandbox"), "api_key": SecretStr("sandbox")}
    return Destination("track", sandbox.url, credentials, batch_budget_s=budget_s, app_api_key=SecretStr(key))


def reading(sandbox: Sandbox, clock: Clock | None = None, key: str = "sandbox") -> ReadBack:
    clock = clock or Clock()
    return ReadBack(destination(sandbox, key), clock.now, clock.sleep)


def load(sandbox: Sandbox, *items: object) -> None:
    with httpx.Client(auth=AUTH) as client:
        assert send(client, sandbox, *items).status_code == 200


def plans(found: dict[str, Profile | str | None]) -> dict[str, str | None]:
    return {name: each.attributes.get("plan") if isinstance(each, Profile) else None for name, each in found.items()}


def test_ids_of_any_characters_are_found_together_and_alone(sandbox: Sandbox) -> None:
    load(sandbox, *(identify(name, plan=name) for name in ODD))
    with reading(sandbox) as app:
        assert plans(app.people("id", ODD)) == {name: name for name in ODD}
        assert plans({name: app._one("id", name) for name in ODD}) == {name: name for name in ODD}
        assert app.people("id", ["a%2fb", "A/B", "a"]) == {"a%2fb": None, "A/B": None, "a": None}


def test_people_are_found_by_email_in_any_case_by_phone_and_by_cio_id(sandbox: Sandbox) -> None:
    load(sandbox, identify("1", email="ann+x@example.com", phone="+33612345678", plan="pro"))
    cio_id = sandbox.people.everybody()[0].cio_id
    with reading(sandbox) as app:
        assert plans(app.people("email", ["Ann+X@Example.com", "ben@example.com"])) == {
            "Ann+X@Example.com": "pro",
            "ben@example.com": None,
        }
        assert plans(app.people("phone", ["+33612345678"])) == {"+33612345678": "pro"}
        for name in (cio_id, f"cio_{cio_id}"):
            assert plans(app.people("cio_id", [name])) == {name: "pro"}


def test_only_a_404_means_that_somebody_is_not_there(sandbox: Sandbox) -> None:
    load(sandbox, identify("1", plan="pro"))
    none = Answer(200, b'{"customers": []}')  # as an API would answer that takes no id_type
    sandbox.set_faults(Faults(app_script=(none,)))
    with reading(sandbox) as app:
        assert plans(app.people("id", ["1"])) == {"1": "pro"}
        sandbox.set_faults(Faults(app_script=(none, Answer(400, b"{}"))))
        assert app.people("id", ["1"]) == {"1": UNREADABLE}


def test_who_differs_at_first_and_cannot_be_asked_for_again_is_not_compared(sandbox: Sandbox) -> None:
    load(sandbox, identify("1", plan="old"), identify("2", plan="pro"))
    sample = Sample(10, seed=1)
    items = [json.dumps({"action": "identify", "attributes": {"plan": "pro"}})] * 2
    sample.add(0, pl.DataFrame({"position": [0, 1], "key": ["id:1", "id:2"], "hash": [1, 2], "item": items}, HASHES))

    def sleep(seconds: float) -> None:
        if seconds == 60:  # before the second look
            sandbox.set_faults(Faults(app_script=(Answer(200, b'{"customers": []}'), Answer(400, b"{}"))))

    result = verified(sample, destination(sandbox), wait_s=60.0, now=lambda: 0.0, sleep=sleep)
    assert (result.drawn, result.checked, result.different) == (2, 1, 0)
    assert result.not_compared == {UNREADABLE: 1}


def test_there_are_never_more_than_ten_requests_a_second(sandbox: Sandbox) -> None:
    load(sandbox, *(identify(str(n), plan="pro") for n in range(500)))
    clock = Clock()
    with reading(sandbox, clock) as app:
        found = app.people("id", [str(n) for n in range(560)])
    starts = clock.ends  # each request waits for its turn, if only for no time
    assert sum(isinstance(each, Profile) for each in found.values()) == 500
    assert len(starts) == 6 + 60  # a hundred at once; alone, those who are not there
    assert max(sum(start <= other < start + 1.0 for other in starts) for start in starts) == 10
    assert clock.at < 7.0


def test_that_many_are_asked_for_alone_is_said_once_before_it_takes_long(sandbox: Sandbox) -> None:
    clock, notes = Clock(), list[str]()
    with ReadBack(destination(sandbox), clock.now, clock.sleep, notes.append) as app:
        app.people("id", [str(n) for n in range(99)])
        assert notes == [] and clock.at > 9
        for _ in range(2):
            app.people("id", [str(n) for n in range(1_300)])
    (note,) = notes
    assert note.startswith("100 of the first 100 people are not in Customer.io's answer, ")
    assert "asked for alone, 10 a second: it may take 2 min, and as long again" in note


@pytest.mark.fault("N2")
def test_a_429_is_waited_out_as_it_asks(sandbox: Sandbox) -> None:
    load(sandbox, identify("1", plan="pro"))
    sandbox.set_faults(Faults(app_script=("429", "503", "ok"), retry_after=("7",)))
    clock = Clock()
    with reading(sandbox, clock) as app:
        assert plans(app.people("id", ["1"])) == {"1": "pro"}
    assert clock.at >= 14.0


@pytest.mark.parametrize("fault", ["lost_before", "lost_after", "truncated", "html", "500", "429"])
def test_a_broken_answer_is_asked_for_again(sandbox: Sandbox, fault: str) -> None:
    load(sandbox, identify("1", plan="pro"))
    sandbox.set_faults(Faults(app_script=(fault, fault)))
    with reading(sandbox) as app:
        assert plans(app.people("id", ["1"])) == {"1": "pro"}


def test_an_answer_that_is_too_long_is_asked_for_in_parts(sandbox: Sandbox) -> None:
    long = {f"a{n}": "x" * 990 for n in range(30)}
    for start in range(0, 40, 10):
        load(sandbox, *(identify(str(n), **({"plan": "pro"} | long)) for n in range(start, start + 10)))
    with reading(sandbox) as app:
        found = app.people("id", [str(n) for n in range(40)])
    assert set(plans(found).values()) == {"pro"}
    assert max(sandbox.workspace.app_traffic.endpoints.values()) < 20


def test_a_wrong_key_is_refused_at_once_with_what_to_renew(sandbox: Sandbox) -> None:
    with reading(sandbox, key="wrong") as app, pytest.raises(CredentialsRefused) as refused:
        app.people("id", ["1"])
    assert "app_api_key" in refused.value.remedy and "wrong" not in str(refused.value)


def test_an_outage_ends_after_the_time_that_a_batch_may_take(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(app_script=("503",) * 200))
    clock = Clock()
    with reading(sandbox, clock) as app, pytest.raises(DestinationUnavailable) as failed:
        app.people("id", ["1"])
    assert failed.value.resumable and 10 < clock.at <= 61
