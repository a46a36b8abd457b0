"""Summarizes a plan for other tasks, for the log, and in Markdown for the person who approves it. Counts, no values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cio_etl.airflow.request import Summary

_STEP = ("rows", "items", "rejected", "skipped", "requests", "bytes", "seconds", "campaigns")
_DELTA = ("new", "changed", "same", "gone")
_TOTALS = ("rows", "items", "rejected", "requests", "bytes", "seconds", "gone")
_CAMPAIGNS = {
    "new_people": "new people",
    "changed_people": "changed people",
    "events_of_72h": "events of the last 72 hours",
}
_COLUMNS = ("rows", *_DELTA, "rejected", "items", "requests")


def plan_summary(content: Mapping[str, Any]) -> Summary:
    """The figures of a plan in JSON's types, from what `cio-etl plan --json` prints.

    `items` and `gone` are what would be sent. Counts of the ledger are None for a step that has none.
    """
    steps = {step["name"]: _step(step) for step in content["steps"]}
    totals = {name: sum(step[name] or 0 for step in steps.values()) for name in _TOTALS}
    about = {name: content[name] for name in ("job", "made_at", "exit_code", "headline", "unfinished", "page")}
    return {**about, "plan": content["file"], **totals, "steps": steps}


def _step(step: Mapping[str, Any]) -> Summary:
    delta = step["delta"] or dict.fromkeys(_DELTA)
    findings = {finding["code"]: finding["rows"] for finding in step["findings"]}
    rejects: dict[str, int] = {}
    for each in step["rejects"]:
        reason = each["reason"] if each["field"] is None else f"{each['reason']} in {each['field']}"
        rejects[reason] = rejects.get(reason, 0) + each["rows"]
    return {
        **{name: step[name] for name in _STEP},
        **{name: delta[name] for name in _DELTA},
        "rejects": rejects,
        "findings": findings,
        "would_stop": [*step["unexpected"], *step["changes_too_much"], *step["rejects_too_much"]],
    }


def would_stop(summary: Summary) -> str:
    """Why a run would stop before its first request; "" when it would not."""
    return "; ".join(f"step {name}: {why}" for name, step in summary["steps"].items() for why in step["would_stop"])


def log_lines(summary: Summary) -> Iterator[str]:
    """What the log of a plan says."""
    yield summary["headline"]
    for name, step in summary["steps"].items():
        counts = ", ".join(f"{step[each]:,} {each}" for each in _COLUMNS if step[each] is not None)
        yield f"step {name}: {counts}, {step['bytes'] / 1e6:,.1f} MB"
        yield from (f"step {name}: {line}" for line in _notes(step))
    yield f"the plan is {summary['plan']}, and its page {summary['page']}"


def markdown(summary: Summary) -> str:
    """What a person needs to approve a plan: a table of its steps, their rejects and findings, and what answers do."""
    lines = [_plain(summary["headline"]), ""]
    lines += [f"| step | {' | '.join(_COLUMNS)} | MB |", f"|---|{'---:|' * (len(_COLUMNS) + 1)}"]
    for name, step in summary["steps"].items():
        cells = ["-" if step[each] is None else f"{step[each]:,}" for each in _COLUMNS]
        lines.append(f"| {_plain(name)} | {' | '.join(cells)} | {step['bytes'] / 1e6:,.1f} |")
    notes = [f"- {_plain(f'{name}: {line}')}" for name, step in summary["steps"].items() for line in _notes(step)]
    if notes:
        lines += ["", *notes]
    answers = "Approve sends just this, unless source, mapping or ledger change before. Reject sends nothing."
    places = f"Page: `{summary['page']}`; the run takes about {summary['seconds']:,.0f} s."
    return "\n".join([*lines, "", places, "", answers])


def _notes(step: Summary) -> Iterator[str]:
    campaigns = [f"{step['campaigns'][name] or 0:,} {words}" for name, words in _CAMPAIGNS.items()]
    if any(step["campaigns"].values()):
        yield f"can start campaigns: {', '.join(campaigns)}"
    yield from (f"{rows:,} rejected with {reason}" for reason, rows in step["rejects"].items())
    yield from (f"{rows:,} times the finding {code}" for code, rows in step["findings"].items())


def _plain(words: str) -> str:
    """Text in Markdown, which may hold a name that somebody has chosen."""
    return "".join(f"\\{sign}" if sign in r"\`*_[]<>|" else sign for sign in " ".join(words.split()))
