"""The commented YAML of a job: a step for each source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from cio_etl.config import MODELINE
from cio_etl.config.yaml_writer import WIDTH, comment, flow, scalar, with_note
from cio_etl.model import MaxRejects

_USUAL = MaxRejects(share=0.01)
_KEPT_ROWS = (
    "stores the values of rejected rows in the state folder, so that they can be fixed and replayed: the source may "
    "return other rows later; `keys` stores no values"
)
SENDS_CHANGES = "the first run sends every row, and each later run only what is new or has changed since"


@dataclass(frozen=True, slots=True)
class StepText:
    """What a step of the job says. At most `rejects` of its `rows` would be rejected, by the counts of the columns."""

    name: str
    source: Mapping[str, Any]
    mapping_file: str
    notes: Sequence[str] = ()
    rejects: int = 0
    rows: int = 0
    reads_once: bool = False  # the source may return other rows when it is read again
    sends_changes: bool = False  # the step has `sync: changed`

    @property
    def too_many(self) -> bool:
        """Whether a run would stop with the usual limit."""
        return self.rejects > _USUAL.limit(self.rows)


def job_text(steps: Sequence[StepText]) -> str:
    """The job file: its steps run in this order."""
    lines = [
        MODELINE,
        "# Proposed by `cio-etl init`. Nothing is sent before `cio-etl run`.",
        "destination:",
        "  region: us                        # or eu, or auto, which asks where the credentials belong",
        "  site_id: ${CUSTOMERIO_SITE_ID}    # keys never stand in a file",
        "  api_key: ${CUSTOMERIO_API_KEY}",
        "",
        "steps:",
    ]
    for step in steps:
        lines += [
            f"  - name: {scalar(step.name)}",
            *_section(step.source, "    "),
            f"    mapping: {scalar(step.mapping_file)}",
        ]
        if step.sends_changes:
            lines += with_note("sync: changed", f"{SENDS_CHANGES}; `all` sends every row each time", "    ")
    lines.append("")
    for step in steps:
        for note in step.notes:
            lines += comment(note if len(steps) == 1 else f"{step.name}: {note}")
    lines += _max_rejects([step for step in steps if step.too_many])
    if any(step.reads_once for step in steps):
        lines += with_note("rejects: rows", _KEPT_ROWS)
    return "\n".join([*lines, ""])


def _max_rejects(steps: Sequence[StepText]) -> Iterator[str]:
    """The limit of rejected rows: the usual one, unless these steps would already exceed it."""
    meaning = "of the rows, or a number of rows; past it a run stops and can go on later"
    if not steps:
        yield from with_note("max_rejects: 1%", meaning)
        return
    worst = max(steps, key=lambda step: step.rejects / step.rows)
    question = f"up to {worst.rejects:,} of {worst.rows:,} rows would be rejected as they are; fix them, and write 1%"
    share = min(100, ceil(100 * worst.rejects / worst.rows))
    yield from with_note(f"max_rejects: {share}%", f"TO DECIDE: {question} · {meaning}")


def _section(source: Mapping[str, Any], indent: str) -> Iterable[str]:
    short = f"{indent}source: {flow(source)}"
    if len(short) <= WIDTH:
        return [short]
    return [f"{indent}source:", *(f"{indent}  {scalar(key)}: {flow(value)}" for key, value in source.items())]
