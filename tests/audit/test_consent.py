"""`validate` reports who refuses messages by a column that no step makes `unsubscribed` of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cio_etl.audit import PositionedFinding, StepContext, columns_to_read
from cio_etl.audit.consent import Consent, consent_kind, is_of_another_channel
from cio_etl.cli import main
from cio_etl.model import Column, Constant, CsvSource, Mapping, Step, Value
from cio_etl.transform.functions import parse_call
from tests.mapped_rows import attributes, column, mapping, rows
from tests.snapshots import compiled, held, step

REFUSING = """unsubscribed, UNSUB_TIME, unsubscribed_from_emails_at, Unsubscribed from Emails, HasOptedOutOfEmail,
opt_out, optout, Opted out of email: Marketing, bounced, hard_bounced, suppressed, Email Suppressions, complained_at,
is_spam, Portal Spam Report, do_not_email, noEmails, blacklisted, unsubscribedChannelIds, CLEAN_TIME, Désabonné"""
CONSENTING = """opt_in, optin, subscribed, emailSubscribe, is_subscribed, email_consent, Email Marketing Consent,
accepts_marketing, Accepts Email Marketing, newsletter, email_status, subscription_state, SMS Consent"""
OF_SOMETHING_ELSE = """OPTIN_TIME, OPTIN_IP, consent_ip, Email Marketing Consent Timestamp, email_opted_in_at,
consent_source, Accepts Marketing At, unsubscribe_count, UNSUB_CAMPAIGN_TITLE, Marketing emails bounced, bounce_rate,
newsletter_id, email, plan, cleaner, optional, subscription, subscription_plan, description, spammer"""


@pytest.mark.parametrize(
    ("names", "kind"),
    [(REFUSING, "refusal"), (CONSENTING, "consent"), (OF_SOMETHING_ELSE, None), ("Status, order_state", "status")],
)
def test_a_column_of_consent_is_known_by_its_name(names: str, kind: str | None) -> None:
    listed = re.split(r",\s+", names)
    assert {name: consent_kind(name) for name in listed} == dict.fromkeys(listed, kind)


def test_consent_of_other_channels_is_told_apart() -> None:
    assert [
        name for name in ("sms_consent", "Push Subscribe", "email_consent", "opt_in") if is_of_another_channel(name)
    ] == [
        "sms_consent",
        "Push Subscribe",
    ]


def found(how: Mapping, data: dict[str, Any], *others: Mapping) -> list[PositionedFinding]:
    """What the audit finds in these rows; it reads the columns that the mapping does not read."""
    snapshot = held(rows(data), 2)
    ready = compiled(how, snapshot)
    steps = (step(how), *(Step(f"other{n}", CsvSource(("a.csv",)), other) for n, other in enumerate(others)))
    audit = Consent(steps[0], StepContext(steps, tuple(snapshot.schema)))
    for frame in snapshot.read([*ready.columns, *columns_to_read([audit])], 0):
        audit.observe(ready.mapped(frame))
    return list(audit.findings())


PLAIN = mapping(attributes=attributes(plan="plan"))


@pytest.mark.parametrize(
    ("name", "values", "first"),
    [
        ("unsubscribed", ["true", "false", None, "1", ""], (0, 3)),
        ("unsubscribed", [True, False, None, False, False], (0,)),
        ("unsubscribed", [0, 1, None, 0, 2], (1, 4)),
        ("unsubscribed_at", ["2024-03-10 09:00:00", "", None, "Never", "-"], (0,)),
        ("unsubscribed_channels", [[], [7], None, [1, 2], []], (1, 3)),
        ("opt_in", ["yes", "no", None, "0", "perhaps"], (1, 3)),
        ("Email Marketing Consent", ["SUBSCRIBED", "NEVER_SUBSCRIBED", "UNSUBSCRIBED", "", "Denied"], (1, 2, 4)),
        ("status", ["cleaned", "active", "Hard bounce", "false", "pending"], (0, 2)),
        ("status", ["paid", "open", "no", "shipped", None], ()),
    ],
)
def test_rows_that_refuse_messages_are_counted(name: str, values: list[Any], first: tuple[int, ...]) -> None:
    findings = found(PLAIN, {"plan": list("abcde"), name: values})
    assert [(one.code, one.severity, one.field, one.rows, one.first) for one in findings] == (
        [("consent_not_mapped", "warning", name, len(first), first)] if first else []
    )


@pytest.mark.parametrize("value", [Constant(True), column("no_mail"), column("no_mail", {"cast": "boolean"})])
def test_a_row_that_is_sent_as_unsubscribed_is_no_finding(value: Value) -> None:
    data = {"no_mail": ["true", "1", "false"], "status": ["bounced", "unsubscribed", "active"]}
    assert found(mapping(attributes={"unsubscribed": value}), data) == []


def test_a_row_that_is_skipped_or_rejected_is_no_finding() -> None:
    people = mapping(attributes=attributes(email="mail"), when="status <> 'cleaned'")
    data = {"mail": ["a@b.co", "b@b.co", "c@@b.co"], "status": ["cleaned", "unsubscribed", "unsubscribed"]}
    assert [one.first for one in found(people, data)] == [(1,)]


@pytest.mark.parametrize(
    "other",
    [
        mapping(attributes={"unsubscribed": Constant(True)}, when="opt_out = 'yes'"),
        mapping(attributes={"unsubscribed": column("opt_out", "boolean")}),
        mapping("suppress", when="opt_out = 'yes'"),
        mapping(topics={"1": column("opt_out", {"map": {"yes": False, "no": True}})}),
    ],
)
def test_a_step_that_unsubscribes_or_suppresses_by_the_column_handles_it(other: Mapping) -> None:
    data = {"plan": ["a", "b"], "opt_out": ["yes", "no"]}
    assert found(PLAIN, data, other) == []
    assert [one.rows for one in found(PLAIN, data, mapping("track", when="opt_out = 'yes'"), PLAIN)] == [1]


def test_a_path_into_the_column_handles_it() -> None:
    other = mapping(attributes={"unsubscribed": Constant(True)}, when='"unsubscribedChannelIds[0]" is not null')
    data = {"plan": ["a", "b"], "unsubscribedChannelIds": [[7], []]}
    assert found(PLAIN, data, other) == []
    assert [one.rows for one in found(PLAIN, data)] == [1]


def test_where_it_was_thought_of_it_is_a_notice() -> None:
    told = mapping(attributes=attributes(unsubscribed=column("opt_out", "boolean"), state="email_status"))
    data = {"opt_out": ["no", "no"], "email_status": ["bounced", "ok"], "suppressed": ["yes", None]}
    assert [(one.field, one.severity) for one in found(told, data)] == [
        ("email_status", "notice"),
        ("suppressed", "warning"),
    ]
    assert [one.severity for one in found(PLAIN, {"plan": ["a"], "sms_consent": ["no"]})] == ["notice"]


def test_events_and_other_people_have_no_consent() -> None:
    data = {"plan": ["a"], "unsubscribed": ["true"], "at": ["1710061200"]}
    assert found(mapping("track", timestamp=Column("at", (parse_call("timestamp"),))), data) == []
    assert found(mapping("delete"), data) == []


def test_validate_reads_the_column_and_shows_its_cells(capsys: pytest.CaptureFixture[str]) -> None:
    Path("people.csv").write_text("id,plan,Email Status\n1,pro,subscribed\n2,pro,cleaned\n3,free,unsubscribed\n")
    Path("people.yaml").write_text("operation: identify\nidentifiers: {id: id}\nattributes: {plan: plan}\n")
    Path("job.yaml").write_text(
        "destination: {site_id: '${S}', api_key: '${K}'}\n"
        "steps: [{name: people, source: {csv: people.csv}, mapping: people.yaml}]\n"
    )
    assert main(["validate", "--json", "job.yaml"]) == 0
    (finding,) = json.loads(capsys.readouterr().out)["steps"][0]["findings"]
    assert finding == {
        "code": "consent_not_mapped",
        "severity": "warning",
        "field": "Email Status",
        "rows": 2,
        "words": "2 rows say that the person wants no messages, and are sent without `unsubscribed: true`",
        "first_rows": ["people.csv:3", "people.csv:4"],
    }
    assert main(["validate", "job.yaml"]) == 0
    assert "2  consent_not_mapped in Email Status at people.csv:3,4" in capsys.readouterr().out
