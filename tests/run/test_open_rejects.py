"""Rejects of earlier runs are closed by what later runs do, and a bad row is open once, however many nights it lasts.

The campaign plays nights at random beside a plain model of what is open; the other tests are one case each.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.model.words import moment
from cio_etl.notify import compare
from cio_etl.sandbox import Faults
from cio_etl.state import Store
from cio_etl.transform import ids
from tests.nightly_step import EVENTS, KEYS, PEOPLE, Nights, order, person
from tests.running import start_anew, write_job

Row = Mapping[str, Any]
Key = tuple[str, ...]

BAD, REFUSED = "no address", "refused"


@dataclass(frozen=True)
class Refusing(Faults):
    """Customer.io refuses a plan, or a price, of this name, each time."""

    refused: float = 1e-9  # above 0, or `refuses` is not asked

    def refuses(self, item: Mapping[str, Any]) -> bool:
        return REFUSED in (item.get("attributes", {}).get("plan"), item.get("attributes", {}).get("price"))


def open_rows() -> list[tuple[str, int]]:
    """Run and position of each open reject."""
    query = "SELECT run_id, position FROM reject WHERE closed_by IS NULL ORDER BY run_id, step, position"
    with closing(sqlite3.connect(".etl/state.db")) as database:
        return database.execute(query).fetchall()


def open_since() -> list[tuple[str, int, str]]:
    """Run and position of each open reject, and since when it is open."""
    query = "SELECT run_id, position, coalesce(reject.since, started_at) FROM reject JOIN run USING (run_id)"
    with closing(sqlite3.connect(".etl/state.db")) as database:
        return database.execute(f"{query} WHERE closed_by IS NULL").fetchall()


def started_at() -> dict[str, str]:
    with closing(sqlite3.connect(".etl/state.db")) as database:
        return dict(database.execute("SELECT run_id, started_at FROM run"))


def closed_as() -> list[tuple[str, str | None]]:
    """How each reject is closed, and by which run, the oldest first; ("", None): it is open."""
    in_order = "JOIN run USING (run_id) ORDER BY sequence, step, position"
    query = f"SELECT coalesce(closed_as, ''), closed_by FROM reject {in_order}"
    with closing(sqlite3.connect(".etl/state.db")) as database:
        return database.execute(query).fetchall()


# ---------------------------------------------------------------- a campaign


@dataclass
class Campaign:
    """Nights of one step, and what is open by a plain model: by the key of a row, the runs that rejected it last and
    first."""

    nights: Nights
    dice: random.Random
    sync: str
    rows: dict[str, Row] = field(default_factory=dict)  # by a name of the row, which its source does not have
    sources: dict[str, list[Row]] = field(default_factory=dict)  # by run
    still_open: dict[Key, tuple[str, str]] = field(default_factory=dict)
    exports: list[tuple[Path, list[Key]]] = field(default_factory=list)
    exported: int = 0
    accepted: set[Key] = field(default_factory=set)
    refused: set[Key] = field(default_factory=set)

    @property
    def is_event(self) -> bool:
        return self.sync.startswith("events")

    def row(self, name: str) -> Row:
        """A row of somebody: good, rejected here, refused by Customer.io, or without a subject."""
        kind = self.dice.choice(("good", "good", "bad", "refused", "nobody"))
        if self.is_event:
            values: dict[str, Any] = {"bad": {"at": BAD}, "refused": {"price": REFUSED}}.get(kind, {"price": "7"})
            return order(int(name), **values | ({"order": None, "price": name} if kind == "nobody" else {}))
        values = {"bad": {"email": BAD}, "refused": {"plan": REFUSED}}.get(kind, {})
        city = self.dice.choice(("Rome", "Oslo"))
        return person(int(name), **values | ({"id": None, "plan": name} if kind == "nobody" else {}), city=city)

    def pass_a_day(self) -> None:
        for _ in range(self.dice.choice((1, 3, 6))):
            name = str(self.dice.randrange(14))
            self.rows[name] = self.row(name)
        for name in self.dice.sample(sorted(self.rows), min(len(self.rows), self.dice.choice((0, 0, 2)))):
            del self.rows[name]

    def key(self, row: Row) -> Key:
        subject = row["order"] if self.is_event else row["id"]
        return (subject,) if subject is not None else ("content", *map(str, row.values()))

    def is_rejected(self, row: Row) -> bool:
        """Whether the row is rejected; an event that was accepted is not sent again, though it has changed.

        What Customer.io refused before it was accepted is remembered, too.
        """
        if REFUSED in row.values() and self.sync == "events changed":
            if self.key(row) in self.accepted - self.refused:
                return False
            self.refused.add(self.key(row))
        return None in row.values() or BAD in row.values() or REFUSED in row.values()

    def night(self) -> None:
        """One night, whose process may die before its step has finished; then it is resumed or abandoned."""
        source = [order(99) if self.is_event else person(99), *self.rows.values()]
        self.nights.write(source)
        fate = self.dice.choice(("lives", "lives", "resumed", "abandoned"))
        if fate != "lives":
            with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
                patched.setattr(Store, "end_step", _dies)
                self.nights.again()
            self.play(source, died=True)
        self.nights.again(restart=fate == "abandoned")
        self.play(source)

    def play(self, source: list[Row], *, died: bool = False) -> None:
        run_id = newest_run()
        self.sources[run_id] = source
        keys = {self.key(row): self.is_rejected(row) for row in source}
        for key, is_rejected in keys.items():
            if is_rejected:
                self.still_open[key] = (run_id, self.still_open.get(key, (run_id, run_id))[1])
            else:
                self.close(key)
                self.accepted.add(key)
        if self.sync == "mirror" and len(self.sources) > 1 and not died:
            unreadable = any(row["id"] is None for row in source)
            for key in self.still_open.keys() - keys.keys():
                if key[0] == "content" or not unreadable:
                    self.close(key)

    def export(self) -> None:
        """Exports the open rejects of a run, and fixes the rows there."""
        if not self.still_open:
            return
        run_id = self.dice.choice(sorted(last for last, _ in self.still_open.values()))
        self.exported += 1
        path = Path(f"fixed-{self.exported}.csv")
        assert main(["rejects", run_id, "-o", str(path)]) == 0
        fixed = {"at": "2026-11-20T10:00:00Z", "price": "9"} if self.is_event else {"plan": "pro", "email": "x@b.co"}
        frame = pl.read_csv(path, infer_schema=False).with_columns(
            pl.lit(text).alias(name) for name, text in fixed.items()
        )
        target = "order" if self.is_event else "id"
        named = pl.col(target).fill_null(pl.format(f"new-{self.exported}-{{}}", pl.int_range(pl.len())))
        frame.with_columns(named).write_csv(path)
        self.exports.append((path, [key for key, (last, _) in self.still_open.items() if last == run_id]))

    def replay(self) -> None:
        """Replays a fixed file, perhaps nights after it was exported."""
        if self.exports:
            path, keys = self.exports.pop(self.dice.randrange(len(self.exports)))
            assert main(["replay", str(path), "--env-file", "keys.env"]) == 0
            for key in list(keys):
                self.close(key)
                self.accepted.add(key)

    def close(self, key: Key) -> None:
        """What was rejected is over; if the row is bad again, no file that was exported before is about that."""
        if self.still_open.pop(key, None) is not None:
            for _, exported in self.exports:
                if key in exported:
                    exported.remove(key)

    def check(self) -> None:
        found = [(self.key(self.sources[run_id][position]), run_id) for run_id, position in open_rows()]
        assert sorted(found) == sorted((key, last) for key, (last, _) in self.still_open.items())
        firsts = [(self.key(self.sources[run_id][position]), since) for run_id, position, since in open_since()]
        started = started_at()
        assert sorted(firsts) == sorted((key, started[first]) for key, (_, first) in self.still_open.items())


def _dies(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def newest_run() -> str:
    with closing(sqlite3.connect(".etl/state.db")) as database:
        query = "SELECT run_id FROM run WHERE job = 'job' ORDER BY sequence DESC"
        return str(database.execute(query).fetchone()[0])


@pytest.mark.property
@pytest.mark.parametrize("sync", ["all", "changed", "mirror", "events all", "events changed"])
def test_what_is_open_after_each_night_is_what_a_plain_model_says(
    nights: Nights, sync: str, pytestconfig: pytest.Config
) -> None:
    nights.sandbox.set_faults(Refusing())
    keys_file()
    nights.mapping = EVENTS if sync.startswith("events") else PEOPLE
    nights.step, nights.settings = {"sync": sync.split()[-1]}, {"rejects": "rows"}
    if sync == "mirror":
        nights.step |= {"when_gone": "delete", "max_gone": "100%"}
    campaign = Campaign(nights, random.Random(f"{sync} 1"), sync)
    for _ in range(9 if pytestconfig.option.all_examples else 5):
        campaign.pass_a_day()
        campaign.night()
        campaign.check()
        if campaign.dice.random() < 0.5:
            campaign.export()
        if campaign.dice.random() < 0.4:
            campaign.replay()
            campaign.check()


# ---------------------------------------------------------------- one case each


def test_reports_say_what_a_later_run_closed_and_a_replay_sends_none_of_it(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    nights.step, nights.settings = {"sync": "all"}, {"rejects": "rows"}
    first = nights.run([person(1), person(2, email=BAD), person(3, email=BAD)])
    second = nights.run([person(1), person(2), person(3, email="still none")])
    assert [(each.closed_as, each.rows) for each in second.closes] == [("accepted", 1), ("rejected", 1)]
    assert closed_as() == [("accepted", second.run_id), ("rejected", second.run_id), ("", None)]
    assert (first.rejected_since, second.rejected_since) == (None, first.started_at)
    oldest = f"the oldest since {moment(first.started_at)} UTC"
    assert str(compare(second, {"rejects": 0.0}, [])["rejects"]).endswith(f", {oldest}")
    capsys.readouterr()
    assert main(["status", "job.yaml", "--env-file", keys_file()]) == 0
    out = capsys.readouterr().out
    assert "closed     1 reject of earlier runs: 1 accepted\n" in out
    assert f"again      1 reject of earlier runs, rejected again and open in this run, {oldest}\n" in out
    assert main(["rejects", second.run_id, "-o", "open.csv"]) == 0
    assert (
        f"1 rejected row in open.csv, the oldest open since {moment(first.started_at)} UTC" in capsys.readouterr().out
    )
    assert not Path(f".etl/runs/{first.run_id}/rejects").exists()  # rows that nobody has to fix any more
    assert main(["status", "--json"]) == 0
    listed = {each["run_id"]: each for each in json.loads(capsys.readouterr().out)}
    assert [each["closed_as"] for each in listed[first.run_id]["closed"]] == ["accepted", "rejected"]
    assert listed[first.run_id]["open_in_all_runs"]["runs"] == [second.run_id]
    assert main(["rejects", first.run_id, "--all", "-o", "all.ndjson"]) == 0
    words = pl.read_ndjson("all.ndjson")["_closed"].to_list()
    assert words == [f"accepted by {second.run_id}", f"rejected again by {second.run_id}"]
    page = Path(f".etl/runs/{second.run_id}/report.html").read_text()
    assert "Closed rejects of earlier runs: 1 accepted." in page
    again = f"the oldest since {moment(first.started_at)} UTC"
    assert f"Rejected again and open in this run: 1 reject of earlier runs, {again}." in page
    capsys.readouterr()
    assert main(["replay", first.run_id, "--env-file", keys_file()]) == 0
    out, err = capsys.readouterr()
    assert "nothing to send, all of its rejects are closed" in out
    assert f"1 accepted by {second.run_id}, 1 rejected again by {second.run_id}" in err
    assert f"are sent as they are now by `replay` of {second.run_id}" in err


def test_status_shows_what_is_open_in_all_runs(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    nights.step = {"sync": "all"}
    first = nights.run([person(1, email=BAD)])
    second = nights.run([person(2, plan=None, email=BAD), person(3)])  # 1 is in tonight's file no more, and not fixed
    for job in ((), ("job.yaml",)):
        assert main(["status", *job, "--env-file", keys_file()]) == 0
        words = f"2 rejects are open in 2 runs, the oldest since {moment(first.started_at)} UTC"
        assert words in capsys.readouterr().out
    assert main(["rejects", first.run_id, "--close", "left us", "--reason", "row_ragged"]) == 0
    assert main(["rejects", first.run_id, "--close", " "]) == 2
    assert len(open_rows()) == 2
    assert main(["rejects", first.run_id, "--close", "left us"]) == 0
    assert f"1 reject of {first.run_id} closed by hand" in capsys.readouterr().out
    assert open_rows() == [(second.run_id, 0)] and closed_as()[0] == ("hand", "hand")


def keys_file() -> str:
    Path("keys.env").write_text("".join(f"{name}={value}\n" for name, value in KEYS.items()))
    return "keys.env"


def test_a_row_without_an_identifier_is_open_once_and_closed_when_the_mapping_takes_it(nights: Nights) -> None:
    nights.step = {"sync": "all"}
    nights.mapping = PEOPLE | {"identifiers": {"email": "email"}, "attributes": {"plan": "plan", "city": "city"}}
    nights.run([person(1, email=" a@@b.co"), person(2, email="x y")])
    nights.run([person(1, email=" a@@b.co"), person(2, email="x y")])
    assert [position for _, position in open_rows()] == [0, 1]
    lenient = {"column": "email", "apply": ["trim", {"replace": {"old": "@@", "new": "@"}}]}
    nights.mapping = nights.mapping | {"identifiers": {"email": lenient}}
    third = nights.run([person(1, email=" a@@b.co"), person(2, email="x y")])
    assert closed_as()[2:] == [("accepted", third.run_id), ("rejected", third.run_id), ("", None)]


def test_a_line_that_cannot_be_read_is_found_by_its_place(nights: Nights) -> None:
    nights.step = {"sync": "all"}
    nights.write([person(1)])
    write_job(Path("job.yaml"), nights.sandbox.url, {"rows": ({"csv": "rows.csv"}, "mapping.yaml")}, max_rejects="100%")
    for lines in (["1,a@b.co,free,Rome", "2,ragged"], ["1,a@b.co,free,Rome", "2,ragged"], ["1,a@b.co,free,Rome"]):
        Path("rows.csv").write_text("\n".join(["id,email,plan,city", *lines, ""]))
        nights.again()
    (still_open,) = open_rows()  # the last night's file may be another day's: nobody said that the line was mended
    assert closed_as() == [("rejected", still_open[0]), ("", None)]


def test_an_event_is_closed_by_its_own_key_only_and_a_repeated_key_by_nobody_else_s_row(nights: Nights) -> None:
    nights.mapping, nights.step = EVENTS, {"sync": "all"}
    nights.run([order(1, at=BAD), order(2), order(2, price="6")])
    second = nights.run([order(3), order(2), order(2, price="6")])
    assert closed_as() == [("", None), ("rejected", second.run_id), ("", None)]
    third = nights.run([order(1)])
    assert closed_as()[0] == ("accepted", third.run_id) and len(open_rows()) == 1
    nights.mapping = EVENTS | {"event_key": ["order", "price"]}
    nights.run([order(2, price="6")])
    assert open_rows() == []


def test_a_bad_event_without_a_key_is_open_once_though_its_source_grows(nights: Nights) -> None:
    nights.mapping = {name: value for name, value in EVENTS.items() if name != "event_key"}
    nights.step = {"sync": "all"}
    nights.run([order(1, at=BAD)])
    second = nights.run([order(1, at=BAD), order(2)])
    assert closed_as() == [("rejected", second.run_id), ("", None)]
    nights.run([order(2), order(1)])  # its content is another one: a person has to say that this is it
    assert open_rows() == [(second.run_id, 0)]


@pytest.mark.parametrize("operation", ["identify", "identify_object"])
def test_a_relationship_that_was_rejected_is_not_closed_by_another_one_of_the_same_person(
    nights: Nights, operation: str
) -> None:
    end: dict[str, Any] = {"object": {"type": {"value": "1"}, "id": "city"}}
    about: dict[str, Any] = {"identifiers": {"id": "id"}}
    if operation == "identify_object":
        end, about = {"person": {"id": "city"}}, {"object": {"type": {"value": "1"}, "id": "id"}}
    attributes = {"email": {"column": "email", "apply": ["email"]}, "plan": "plan"}
    nights.mapping = {"operation": operation, **about, "attributes": attributes, "relationships": [end]}
    nights.step, nights.settings = {"sync": "all"}, {"rejects": "rows"}
    nights.sandbox.set_faults(Refusing())
    bad = [person(1, city="Oslo", plan=REFUSED), person(1, city="Bonn", email=BAD)]
    first = nights.run([person(1, city="Rome"), *bad])
    nights.run([person(1, city="Rome")])
    assert [how for how, _ in closed_as()] == ["", ""]
    assert main(["rejects", first.run_id, "-o", "fixed.csv"]) == 0
    nights.run(bad)
    assert [how for how, _ in closed_as()] == ["rejected", "rejected", "", ""]
    fixed = pl.read_csv("fixed.csv", infer_schema=False).with_columns(plan=pl.lit("pro"), email=pl.lit("x@b.co"))
    fixed.filter(pl.col("city") == "Oslo").write_csv("fixed.csv")
    process = start_anew("replay", "fixed.csv", "--env-file", keys_file(), folder=Path())
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "Warning" not in err  # polars raises none of its own where they are errors
    assert [how for how, _ in closed_as()][2:] == ["accepted", ""]
    nights.run([person(1, city="Bonn")])
    assert [how for how, _ in closed_as()][3:] == ["accepted"]


def test_an_event_that_is_too_old_to_be_compared_closes_nothing(nights: Nights) -> None:
    nights.mapping, nights.step = EVENTS, {"sync": "changed", "remember": "30 days"}
    now = datetime.now(UTC)
    days = [(now - timedelta(days=number)).isoformat() for number in range(50)]
    nights.run([order(1, at=days[1]), order(2, at=BAD), order(3, at=BAD)])
    nights.run([order(1, at=days[1]), order(2, at=days[2]), order(3, at=days[40])])
    pl.read_parquet("rows.parquet").clear().write_parquet("rows.parquet")
    nights.again()
    assert [how for how, _ in closed_as()] == ["accepted", ""]


def test_a_row_that_gives_way_to_a_later_one_of_its_subject_does_not_say_that_customer_io_has_it(
    nights: Nights,
) -> None:
    nights.run([person(1), person(2, email=BAD)])
    rows = [person(1), person(2, plan="old"), person(2, plan="new")]
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Store, "note_delta", _dies_after(Store.note_delta))
        nights.run(rows)
    assert [how for how, _ in closed_as()] == [""]
    nights.again()
    assert [how for how, _ in closed_as()] == ["accepted"]


def _dies_after(work: Callable[..., None]) -> Callable[..., None]:
    def working(*arguments: object, **named: object) -> None:
        work(*arguments, **named)
        raise KeyboardInterrupt

    return working


def test_a_trial_with_a_limit_closes_what_it_sends_and_takes_nothing_for_gone(mirror: Nights) -> None:
    mirror.run([person(1), person(2), person(3, email=BAD), person(4, email=BAD), person(5, id=None)])
    trial = mirror.run([person(3), person(1), person(2)], limit=1)
    assert closed_as() == [("accepted", trial.run_id), ("", None), ("", None)]
    whole = mirror.run([person(3), person(1), person(2)])
    assert closed_as() == [("accepted", trial.run_id), ("gone", whole.run_id), ("gone", whole.run_id)]


def test_a_removal_that_was_refused_is_closed_when_the_person_is_back(mirror: Nights) -> None:
    refuses_removal = RefusingRemoval()
    mirror.run([person(1), person(2)])
    mirror.sandbox.set_faults(refuses_removal)
    mirror.run([person(1)])
    mirror.run([person(1)])
    assert [how for how, _ in closed_as()] == ["rejected", ""]
    back = mirror.run([person(1), person(2)])
    assert closed_as()[1] == ("gone", back.run_id)


@dataclass(frozen=True)
class RefusingRemoval(Faults):
    """Customer.io refuses to remove anybody."""

    refused: float = 1e-9

    def refuses(self, item: Mapping[str, Any]) -> bool:
        return item.get("action") == "delete"


def test_runs_in_the_sandbox_close_their_own_rejects_only(nights: Nights) -> None:
    nights.step = {"sync": "all"}
    real = nights.run([person(1, email=BAD)])
    nights.write([person(1)])
    assert main(["run", "job.yaml", "--sandbox"]) == 0
    assert open_rows() == [(real.run_id, 0)]


def test_no_value_can_be_read_from_what_the_state_keeps_of_a_reject(nights: Nights) -> None:
    nights.step = {"sync": "all"}
    nights.run([person(7, email=BAD), person(8, id=None)])
    with closing(sqlite3.connect(".etl/state.db")) as database:
        ((salt,),) = database.execute("SELECT number FROM salt").fetchall()
        keys = database.execute("SELECT subject, content FROM reject ORDER BY position").fetchall()
    unsalted, salted = (
        pl.select(ids.subject([pl.lit("7")], seed)[0].reinterpret(signed=True)).item() for seed in (0, salt)
    )
    assert keys[0] == (salted, None) and salted != unsalted
    assert keys[1][0] is None and keys[1][1] is not None
