"""A load survives kill -9. A dozen kills here; `python -m tests.killing` makes 200, and as many as you like.

The campaign's books must notice what they are for, too: each of their findings is made to appear once.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cio_etl.sandbox import Faults, People
from tests.killing import Setting, Standing, campaigns, copied, standing, summary, wrong_counts
from tests.killing import _impossible as impossible
from tests.killing_rows import EVENTS, PEOPLE, Expected, misplaced_events, misplaced_people, overtaken, write

KILLS = 12


@pytest.mark.timeout(180)
@pytest.mark.fault("P1", "P2", "P11", "N1", "N19")
def test_a_dozen_kills_lose_double_and_misplace_nothing(tmp_path: Path) -> None:
    done = list(campaigns(KILLS, rows=5_000, seed=2, folder=tmp_path))
    assert [problem for campaign in done for problem in campaign.problems] == []
    assert sum(campaign.kills.total() for campaign in done) == KILLS
    faults = sum((campaign.faults for campaign in done), Counter[str]())
    assert all(faults[name] for name in ("503", "429", "lost_after", "lost_before")), faults
    assert any(rows for campaign in done for rows in campaign.unsettled), "no kill hit a batch under way"
    assert summary(done, 1.0).endswith("0 problems: rows lost, doubled, out of order, or wrongly rejected")


# ---------------------------------------------------------------- the books


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, Expected]:
    return write(tmp_path, people=20, rows=200, dice=random.Random(4), faults=Faults(refused=0.2, seed=4))


@pytest.fixture
def loaded(expected: dict[str, Expected]) -> People:
    """The people and events of a load without fault."""
    people = People("row")
    for row, person in expected[PEOPLE].sent.items():
        if person in expected[PEOPLE].accepted:
            people.apply(identify(expected, person, row), 0.0)
    for event_id, row in expected[EVENTS].event_ids.items():
        people.apply(event(expected, event_id, row), 0.0)
    return people


def identify(expected: dict[str, Expected], person: str, row: int) -> dict[str, Any]:
    attributes = {"row": row, "note": expected[PEOPLE].notes.get(row, "")}
    return {"type": "person", "action": "identify", "identifiers": {"id": person}, "attributes": attributes}


def event(expected: dict[str, Expected], event_id: str, row: int) -> dict[str, Any]:
    who = {"id": expected[EVENTS].sent[row]}
    return {"type": "person", "action": "event", "name": "x", "id": event_id, "identifiers": who} | {
        "attributes": {"row": row}
    }


def found(people: People, expected: dict[str, Expected]) -> list[str]:
    return [*misplaced_people(people, expected[PEOPLE]), *misplaced_events(people, expected[EVENTS])]


def test_the_test_rows_have_every_outcome(tmp_path: Path) -> None:
    expected = write(tmp_path, people=200, rows=4_000, dice=random.Random(1), faults=Faults(refused=0.01))
    own = {PEOPLE: {"email_malformed", "row_ragged"}, EVENTS: {"event_key_missing", "timestamp_missing"}}
    for step, reasons in own.items():
        assert set(expected[step].rejects.values()) == {"identifier_missing", "refused_invalid"} | reasons
        assert expected[step].skipped > 0
        accepted = sum(map(len, expected[step].accepted.values()))
        assert accepted + len(expected[step].rejects) + expected[step].skipped == expected[step].rows == 4_000


def test_the_checks_of_a_killed_load_report_nothing_for_a_correct_load(
    loaded: People, expected: dict[str, Expected]
) -> None:
    assert found(loaded, expected) == []


def test_the_checks_of_a_killed_load_accept_a_whole_batch_that_is_sent_again(
    loaded: People, expected: dict[str, Expected]
) -> None:
    person, rows = next(iter(expected[PEOPLE].accepted.items()))
    for row in rows[-3:]:
        loaded.apply(identify(expected, person, row), 1.0)
    assert found(loaded, expected) == []


def _lose_a_person(people: People, expected: dict[str, Expected]) -> None:
    people.everybody()[3].trace.pop()


def _leave_an_older_state(people: People, expected: dict[str, Expected]) -> None:
    person, rows = next(iter(expected[PEOPLE].accepted.items()))
    people.apply(identify(expected, person, rows[-2]), 1.0)


def _overtake(people: People, expected: dict[str, Expected]) -> None:
    person = people.everybody()[3]
    person.trace[0], person.trace[1] = person.trace[1], person.trace[0]


def _send_a_refused_one(people: People, expected: dict[str, Expected]) -> None:
    person = next(one for one in expected[PEOPLE].sent.values() if one not in expected[PEOPLE].accepted)
    people.apply(identify(expected, person, 0), 1.0)


def _lose_an_event(people: People, expected: dict[str, Expected]) -> None:
    people.events.pop(next(iter(people.events)))


def _count_an_event_twice(people: People, expected: dict[str, Expected]) -> None:
    people.apply(event(expected, "01HB4HBDKTFWYZCK01DMRSWRFD", next(iter(expected[EVENTS].sent))), 1.0)


def _swap_events(people: People, expected: dict[str, Expected]) -> None:
    people.everybody()[3].event_ids.reverse()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_lose_a_person, "were lost"),
        (_leave_an_older_state, "and not the last one"),
        (_overtake, "came in the order"),
        (_send_a_refused_one, "should not have been taken"),
        (_lose_an_event, "1 events were lost"),
        (_count_an_event_twice, "1 events should not be there, or twice"),
        (_swap_events, "events of rows"),
    ],
)
def test_the_checks_of_a_killed_load_report_each_fault(
    loaded: People, expected: dict[str, Expected], spoil: Callable[[People, dict[str, Expected]], None], said: str
) -> None:
    spoil(loaded, expected)
    assert any(said in problem for problem in found(loaded, expected))


@pytest.mark.parametrize(
    ("trace", "is_overtaken"),
    [
        ([1, 5, 9], False),
        ([1, 5, 1, 5, 9], False),
        ([1, 5, 5, 9, 9], False),
        ([5, 1, 5, 9], True),
        ([1, 9, 5], True),
        ([1, 5, 1, 9], True),
        ([], True),
    ],
)
def test_a_row_overtakes_another_when_it_arrives_first_or_the_other_never_does(
    trace: list[int], is_overtaken: bool
) -> None:
    assert overtaken(trace, [1, 5, 9]) is is_overtaken


def test_wrong_counts_are_reported() -> None:
    told = {"name": "people", "rows_read": 3, "accepted": 2, "rejected": 0, "skipped": 0, "possibly_sent_twice": 0}
    expected = Expected(rows=3, skipped=1, accepted={"a": [0, 1]})
    assert list(wrong_counts(told, expected, Counter({0: 2, 1: 1}))) == [
        "people: the report's counts do not add up",
        "people: the report says {'rows_read': 3, 'accepted': 2, 'rejected': 0, 'skipped': 0}, "
        "it should be {'rows_read': 3, 'accepted': 2, 'rejected': 0, 'skipped': 1}",
        "people: 1 rows were sent twice, the report says 0",
    ]


def test_a_damaged_state_and_progress_that_goes_back_are_reported() -> None:
    before, key = Standing(progress={(PEOPLE, 0): (10, 20)}), (PEOPLE, 0)
    assert list(impossible(before, Standing(progress={key: (20, 25)}))) == []
    said = [f"the progress of {key} went back, from (10, 20) to (9, 25)"]
    assert list(impossible(before, Standing(progress={key: (9, 25)}))) == said
    assert list(impossible(before, Standing(progress={key: (20, 19)}))) != []
    assert list(impossible(before, Standing(integrity="row missing"))) == ["the state is damaged: row missing"]


def test_a_folder_without_a_state_has_no_progress(tmp_path: Path) -> None:
    assert standing(tmp_path) == Standing(step="before the first step")
    assert Setting(1, 1, 4, 32_100, 10, Faults()).rows_a_batch == 40


def test_a_look_at_a_living_state_starts_again_when_a_journal_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first copy finds the journal of a transaction gone that the list of files still had."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as db, db:
        db.execute("CREATE TABLE run (run_id TEXT)")
    journal = tmp_path / "state.db-journal"
    journal.write_bytes(b"")
    copy, copies = shutil.copy, []

    def with_a_commit(source: Path, target: Path) -> None:
        copies.append(source.name)
        journal.unlink(missing_ok=True)
        copy(source, target)

    monkeypatch.setattr(shutil, "copy", with_a_commit)
    with copied(tmp_path) as read:
        assert read is not None
        assert read.execute("SELECT name FROM sqlite_schema").fetchall() == [("run",)]
    assert "state.db-journal" in copies and copies[-1] == "state.db"
