"""What would a run do? Every row read, mapped, checked and packed, and nothing sent."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from etl.ahead import ahead
from etl.audit import Beside, Empty, audits, forecast, found
from etl.audit.profile import Part, Profiler
from etl.audit.rows import shown_rows
from etl.config.yaml_file import dotted
from etl.errors import ConfigError, EtlError, Problem
from etl.extract import open_source
from etl.load import Packer, endpoint
from etl.model import (
    FAULT,
    POSITION,
    VALIDATION,
    Api,
    Batch,
    Example,
    Job,
    Mapping,
    RejectCount,
    Report,
    Step,
    StepReport,
)
from etl.record import places_of
from etl.since import kinds, staging
from etl.state import Left
from etl.transform import Mapped, columns_of, compile_mapping, gather, unsayable
from etl.transform.operations import OPERATIONS
from etl.work import limited, prepare

EVIDENCE_ROWS = 10_000  # that a preview takes from a source which has to be copied: enough to tell a column's form


def validate(
    job: Job,
    steps: Sequence[Step],
    limit: int | None,
    left: MappingOf[str, Left],
    since: str | None = None,
    *,
    reveal: bool = False,
) -> Report:
    """The report that a run over these steps would begin with: what is rejected, how many requests and bytes go out.

    `left` is what the last finished run left of each step, by name. With `reveal` the report holds values of rows.

    Customer.io may reject rows of its own accord; that only a run can tell. Raises SourceError as a run does.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    reports = tuple(_validate_step(job, step, limit, left.get(step.name, Left()), since, reveal) for step in steps)
    too_many = [step for step in reports if step.rejected > job.max_rejects.limit(step.rows_read)]
    return Report(
        run_id=VALIDATION,
        job=job.name,
        status="finished",
        started_at=started,
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        steps=reports,
        exit_code=4 if too_many else 3 if any(step.rejected for step in reports) else 0,
        reason=f"a run would stop in step {too_many[0].name}: more than max_rejects allows" if too_many else None,
        row_limit=limit,
    )


def _validate_step(job: Job, step: Step, limit: int | None, left: Left, since: str | None, reveal: bool) -> StepReport:
    began = time.monotonic()
    lanes = job.destination.lanes
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        snapshot = limited(open_source(step.source, staging(Path(stage), step, left, since, rows=limit)), limit)
        compiled = prepare(step, snapshot, lanes, job.destination.api)
        to = endpoint(job.destination.api, step.mapping)
        packer = Packer(job.destination.max_batch_bytes, np.full(lanes, -1), to.envelope)
        rows_read = accepted = sent = 0
        requests: Counter[int] = Counter()  # by lane
        rejects: list[pl.DataFrame] = []
        beside = Beside(job.steps, tuple(snapshot.schema), left.columns, kinds(snapshot))
        looking = [Empty(snapshot), *audits(step, compiled, job.destination, time.time(), beside)]
        profiler = Profiler(step.mapping, snapshot.schema, reveal)

        def look(frame: pl.DataFrame) -> tuple[Mapped, Part]:
            mapped = compiled.mapped(frame)
            return mapped, profiler.look(mapped)

        for mapped, part in ahead(look, snapshot.read(compiled.columns, 0)):
            profiler.add(part)
            for audit in looking:
                audit.see(mapped)
            items = mapped.items
            rows_read += items.height
            accepted += items.height - items["item"].null_count()
            rejects.append(_counted(items))
            sent += _packed(packer.add(items), requests)
        sent += _packed(packer.finish(), requests)
        position_of: dict[str, int] = {}

        def places(positions: Sequence[int]) -> dict[int, str]:
            where = places_of(snapshot, positions)
            position_of.update({place: position for position, place in where.items()})
            return where

        counts = _located(pl.concat(rejects) if rejects else None, places)
        findings = found(looking, places)
        rows = shown_rows([*findings, *counts], position_of, step.mapping, snapshot, reveal)
        profile = profiler.made(places, tuple(rows))
    rejected = sum(count.rows for count in counts)
    events = accepted if OPERATIONS[step.mapping.operation].has_event else 0
    return StepReport(
        name=step.name,
        status="finished",
        rows_read=rows_read,
        rows=rows_read,
        accepted=accepted,
        rejected=rejected,
        skipped=rows_read - accepted - rejected,
        possibly_sent_twice=0,
        batches=requests.total(),
        requests=requests.total(),
        retries=0,
        bytes_sent=sent,
        seconds=round(time.monotonic() - began, 3),
        rejects=tuple(counts),
        findings=findings,
        forecast=forecast(looking, events, requests, sent, job.destination),
        profile=profile,
    )


def _packed(full: MappingOf[int, Sequence[Batch]], requests: Counter[int]) -> int:
    """The bytes of the batches that have a body, which are counted by lane."""
    bodies = {lane: [len(batch.body) for batch in batches if batch.body] for lane, batches in full.items()}
    requests.update({lane: len(sizes) for lane, sizes in bodies.items()})
    return sum(map(sum, bodies.values()))


def _counted(items: pl.DataFrame) -> pl.DataFrame:
    """Rejects of one frame by reason and field: how many, and the first three positions."""
    rejected = items.filter(pl.col("reason").is_not_null())
    first = pl.col("position").sort().head(3).alias("first")
    return rejected.group_by("reason", "field").agg(pl.len().alias("rows"), first)


def _located(counted: pl.DataFrame | None, places: Callable[[Sequence[int]], dict[int, str]]) -> list[RejectCount]:
    if counted is None or counted.is_empty():
        return []
    total = (
        counted.group_by("reason", "field")
        .agg(pl.col("rows").sum(), pl.col("first").explode().sort().head(3))
        .sort("rows", "reason", "field", descending=[True, False, False])
    )
    positions = sorted({position for first in total["first"].to_list() for position in first})
    where = places(positions)
    return [
        RejectCount(reason, field, rows, tuple(where[position] for position in first))
        for reason, field, rows, first in total.iter_rows()
    ]


def preview(step: Step, rows: int, api: Api) -> Iterator[dict[str, Any]]:
    """The first rows of a step: each one's row number, and its payload, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        how = staging(Path(stage), step, Left(), rows=max(rows, EVIDENCE_ROWS))
        snapshot = open_source(step.source, how)
        compiled = prepare(
            step, snapshot, 1, api
        )  # all rows have a say in how the first are read: a run would hear them
        for frame in limited(snapshot, rows).read(compiled.columns, 0):
            for position, _, item, reason, field in compiled.items(frame).iter_rows():
                yield {"row": position + 1, **_outcome(item, reason, field)}


def _outcome(item: str | None, reason: str | None, field: str | None) -> dict[str, Any]:
    if item is not None:
        return {"payload": json.loads(item[:-1])}
    return {"skipped": True} if reason is None else {"rejected": reason, "field": field}


def check_examples(mapping: Mapping) -> Iterator[Problem]:
    """The examples of a mapping that do not come out as they say."""
    for number, example in enumerate(mapping.examples):
        row_told = _fault_of_row(mapping, example)
        told = [row_told] if row_told else [("", text) for text in _differences(mapping, example)]
        for where, message in told:
            yield Problem(mapping.file, example.line, f"examples[{number}]{where}", message)


def _fault_of_row(mapping: Mapping, example: Example) -> tuple[str, str] | None:
    """Where in an example's row what is wrong; None when the mapping can be tried on it."""
    if missing := [name for name in columns_of(mapping) if name not in example.row]:
        names = ", ".join(repr(name) for name in missing)
        return ".row", f"has no {names}, which the mapping reads; add what is missing, null where there is no value"
    for name, value in example.row.items():
        try:
            pl.DataFrame([{name: value}], strict=False)
        except (TypeError, ValueError, pl.exceptions.PolarsError):
            return f".{dotted(('row', name))}", "a list of values of several kinds, which no column can hold"
    return None


def _differences(mapping: Mapping, example: Example) -> Iterator[str]:
    for api, expected in _expected(example).items():
        try:
            difference = _difference(example, expected, _try(mapping, example, api))
        except EtlError as error:
            said = str(error).removeprefix(f"{mapping.file}: ")
            difference = f"{said}; {error.remedy}" if error.remedy else said
        if difference:
            yield difference


def _expected(example: Example) -> dict[Api, Any]:
    """What each API is expected to be sent; None where the row is expected not to be."""
    expected: dict[Api, Any] = {"pipelines": example.pipelines} if example.pipelines is not None else {}
    if example.payload is not None or not expected:
        expected["track"] = example.payload
    return expected


def _try(mapping: Mapping, example: Example, api: Api) -> dict[str, Any]:
    for path, message in unsayable(mapping, api):
        raise ConfigError([Problem(mapping.file, None, path, message)])
    row = pl.DataFrame([dict(example.row)], strict=False) if example.row else pl.DataFrame({"": [None]})
    row = row.with_columns(pl.col(pl.Null).cast(pl.String))
    frame = row.with_columns(pl.lit(0, dtype=pl.Int64).alias(POSITION), pl.lit(None, dtype=pl.String).alias(FAULT))
    known = gather(mapping, row.schema, lambda columns: [frame])
    compiled = compile_mapping(mapping, row.schema, known, "example", 1, api)
    _, _, item, reason, field = compiled.items(frame).row(0)
    return _outcome(item, reason, field)


def _difference(example: Example, expected: Any, came: dict[str, Any]) -> str | None:
    if expected is not None:
        if "payload" not in came:
            return f"a payload was expected, but the row is {_said(came)}"
        payload = came["payload"]
        if isinstance(payload, dict) and isinstance(expected, dict):  # ids are made from keys; nobody writes them down
            payload = {name: value for name, value in payload.items() if name in expected or name not in _MADE}
        paths = list(_differing(expected, payload, "payload"))
        return f"the payload differs at {', '.join(paths)}" if paths else None
    outcome = f"rejected: {example.rejected}" if example.rejected else "skipped"
    return None if _said(came) == outcome else f"{outcome} was expected, but the row is {_said(came)}"


_MADE = ("id", "messageId")


def _said(came: dict[str, Any]) -> str:
    return "skipped" if "skipped" in came else "sent" if "payload" in came else f"rejected: {came['rejected']}"


def _differing(expected: Any, came: Any, path: str) -> Iterator[str]:
    """Where two JSON values differ, as dotted paths. 1 and 1.0 are the same number; 1 and true are not the same."""
    if isinstance(expected, dict) and isinstance(came, dict):
        for key in dict.fromkeys([*expected, *came]):
            if key in expected and key in came:
                yield from _differing(expected[key], came[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(expected, list) and isinstance(came, list) and len(expected) == len(came):
        for place, (left, right) in enumerate(zip(expected, came, strict=True)):
            yield from _differing(left, right, f"{path}[{place}]")
    elif expected != came or isinstance(expected, bool) != isinstance(came, bool):
        yield path
