"""`fail_on` fails for the findings that it names, and for no others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cio_etl.audit import FINDINGS
from cio_etl.model import REASONS, Counts, Finding, Omitted, RejectCount, Report, StepReport
from cio_etl.validate.fail_on import gate, gated


def report(
    rejects: int = 0, rows: int = 1_000, findings: tuple[Finding, ...] = (), reason: str | None = None
) -> Report:
    counts = (RejectCount("map_unmatched", None, rejects, ("f.csv:2",)),) if rejects else ()
    steps = tuple(
        StepReport(
            name,
            "finished",
            rows,
            Counts(rows - rejects, rejects, batches=1, requests=1, bytes_sent=9),
            0.1,
            counts,
            findings,
        )
        for name in ("one", "two")
    )
    code = 4 if reason else 3 if rejects else 0
    return Report("validation", "j", "finished", "t", "t", steps, code, reason)


def ends(texts: list[str], of: Report) -> tuple[int | None, str | None]:
    after = gated(of, [gate(text) for text in texts])
    return after.exit_code, after.reason


@pytest.mark.parametrize(
    ("text", "rejects", "closes"),
    [
        ("1%", 10, False),
        ("1%", 11, True),
        ("0.05%", 1, True),
        ("0%", 0, False),
        ("0%", 1, True),
        ("10", 10, False),
        ("10", 11, True),
        ("0", 1, True),
        ("map_unmatched", 1, True),
        ("map_unmatched", 0, False),
        ("row_ragged", 9, False),
    ],
)
def test_a_gate_closes_above_its_limit_or_at_its_name(text: str, rejects: int, closes: bool) -> None:
    code, reason = ends([text], report(rejects))
    assert code == (4 if closes else 3 if rejects else 0)
    assert (reason is not None) == closes


@pytest.mark.parametrize(
    ("text", "omitted", "closes"),
    [
        ("omitted:1%", 10, False),
        ("omitted:1%", 11, True),
        ("omitted:10", 10, False),
        ("omitted:10", 11, True),
        ("omitted", 0, False),
        ("omitted", 1, True),
        ("1%", 11, False),
    ],
)
def test_a_gate_for_omitted_values_closes_above_its_limit_of_rows(text: str, omitted: int, closes: bool) -> None:
    of = report()
    of = replace(of, steps=(replace(of.steps[0], omitted=Omitted(omitted)), of.steps[1]))
    words = f"--fail-on {text}: {omitted} of 1,000 rows of step one are sent without a value"
    assert ends([text], of) == ((4, words) if closes else (0, None))


def test_what_closed_is_told_for_each_step_and_gate() -> None:
    _, reason = ends(["10", "map_unmatched"], report(11, reason="a run would stop"))
    assert reason == (
        "a run would stop; --fail-on 10: 11 of 1,000 rows of step one rejected; "
        "--fail-on 10: 11 of 1,000 rows of step two rejected; "
        "--fail-on map_unmatched: 11 rows of step one; --fail-on map_unmatched: 11 rows of step two"
    )


def test_a_warning_closes_the_gate_for_warnings_and_a_notice_does_not() -> None:
    def found(severity: str) -> Report:
        return report(findings=(Finding("some_code", severity, None, 3, "words"),))  # type: ignore[arg-type]

    assert ends(["warning"], found("notice")) == (0, None)
    assert ends(["warning"], found("warning"))[0] == 4


@pytest.mark.parametrize("text", ["100%", "250%", "omitted:100%"])
def test_a_share_that_nothing_can_pass_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}: no step can have more such rows than that$"):
        gate(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("map_unmached", "no reason or finding 'map_unmached'; did you mean 'map_unmatched'?"),
        ("warnings", "no reason or finding 'warnings'; did you mean 'warning'?"),
        ("-1%", "no reason or finding '-1%'; see mappings/README.md; or write 1%, 100 or omitted:1%"),
        ("", "no reason or finding ''; see mappings/README.md; or write 1%, 100 or omitted:1%"),
        ("omited:1%", "no reason or finding 'omited:1%'; did you mean 'omitted'?"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_what_is_near(text: str, said: str) -> None:
    with pytest.raises(ValueError) as error:
        gate(text)
    assert str(error.value) == said


@pytest.mark.parametrize("code", ["email_shared", "warning"])
def test_a_finding_closes_its_gate(code: str) -> None:
    found = report(findings=(Finding("email_shared", "warning", "attributes.email", 1, "words"),))
    assert ends([code], found) == (4, f"--fail-on {code}: 1 row of step one; --fail-on {code}: 1 row of step two")
    assert ends(["id_zero_twins"], found) == (0, None)


def test_every_reason_and_every_finding_can_be_a_gate() -> None:
    assert [gate(name).text for name in (*REASONS, *FINDINGS)] == [*REASONS, *FINDINGS]
