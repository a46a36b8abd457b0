"""The keys of `notify`, and the channels that they become."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field, PlainValidator, SecretStr

from cio_etl.apis import is_loopback
from cio_etl.config.references import resolve_secret
from cio_etl.config.short_values import Share, checked_duration, share_of
from cio_etl.model import DEFAULT_ON, Channel, ChannelKind, Reference
from cio_etl.model.yaml_section import SHOWN_DEFAULT, LocalPath, Names, Secret, Section, Text, omitted, wrong

_WORDS = ("failed", "recovered", "stale", "verify_differs")
_SHAPES = "failed, recovered, stale, {rejects: 1%}, {deviates: 50%}, {slower: 3x} or verify_differs"


def _on(raw: object) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for entry in raw if isinstance(raw, list) else [raw]:
        kind, threshold = _condition(entry)
        if kind in found:
            raise wrong(f"{kind} is written twice; write it once")
        found[kind] = threshold
    if not found.keys() - {"recovered"}:
        raise wrong("must have something that recovered can follow, as failed")
    return found


def _condition(entry: object) -> tuple[str, float | None]:
    """A kind of notice with its threshold. Raises the fault."""
    if entry in _WORDS:
        return str(entry), None
    if isinstance(entry, dict) and len(entry) == 1:
        ((kind, value),) = entry.items()
        if kind in ("rejects", "deviates") and (share := share_of(value)) is not None and share > 0:
            return kind, share
        times = re.fullmatch(r"(\d{1,4}(?:\.\d{1,3})?) ?x", value, re.ASCII) if isinstance(value, str) else None
        if kind == "slower" and times is not None and float(times[1]) > 1:
            return kind, float(times[1])
    raise wrong(f"must be of {_SHAPES}")


def _addresses(addresses: list[str]) -> list[str]:
    if bad := [each for each in addresses if not re.fullmatch(r"[^\s@<>,;\"]+@[^\s@<>,;\"]+", each)]:
        raise wrong(f"must be an address as data@example.com, or a list of them; entry {addresses.index(bad[0]) + 1}")
    return addresses


def _limit(raw: object) -> timedelta:
    limit = checked_duration(raw)
    if not timedelta(seconds=1) <= limit <= timedelta(minutes=5):
        raise wrong("must be from 1s to 5m")
    return limit


class _OnYaml(Section):
    """A kind of notice with its threshold."""

    one_of = ("rejects", "deviates", "slower")

    rejects: Share = omitted("the share of a step's rows that were rejected")
    deviates: Share = omitted("how far the rows of a step are from the median of the last 14 finished runs")
    slower: Annotated[str, Field(pattern=r"^\d{1,4}(\.\d{1,3})? ?x$")] = omitted(
        "how many times longer than the median of the last 14 finished runs"
    )


_WrittenOn = list[Literal["failed", "recovered", "stale", "verify_differs"] | _OnYaml]


class NotifyYaml(Section):
    """A channel, which gets the notices of a job."""

    one_of: ClassVar[tuple[str, ...]] = ("slack", "webhook", "email", "command")
    goes_with: ClassVar = {
        "webhook": ("secret",),
        "secret": ("webhook",),
        "email": ("smtp",),
        "smtp": ("email",),
        "sender": ("email",),
        "timeout": ("command",),
        "ca_file": ("slack", "webhook", "email"),
    }
    not_offered: ClassVar[dict[str, str]] = {
        "url": "write the address as slack: ${SLACK_WEBHOOK} or webhook: ${HOOK_URL}",
        "teams": "write the channel's Slack-compatible address as slack: ${TEAMS_WEBHOOK}",
        "mattermost": "write the channel's Slack-compatible address as slack: ${MATTERMOST_WEBHOOK}",
        "to": "write the addresses as email: [data@example.com]",
        "from": "write the sender's address as sender:",
        "headers": "a notice has the headers that Being told lists; leave it out",
    }

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        kinds = [kind for kind in cls.one_of if kind in written]
        if len(kinds) != 1:
            yield f"a channel has one of {', '.join(f'{kind}:' for kind in cls.one_of)}"
            return
        for key, others in cls.goes_with.items():
            if key in written and not written & {*others}:
                yield f"{key}: needs {' or '.join(f'{other}:' for other in others)}, which is missing"

    slack: Secret = omitted(
        'a webhook that takes `{"text": …}`, of Slack, Mattermost or others: a reference, as `${SLACK_WEBHOOK}`',
        "one of these",
    )
    webhook: Secret = omitted(
        "an address that gets the notice as JSON, signed: a reference, as `${HOOK_URL}`", "one of these"
    )
    email: Annotated[Names, AfterValidator(_addresses)] = omitted(
        "the address of a recipient, or a list of them", "one of these"
    )
    command: Annotated[list[Text], Field(min_length=1)] = omitted(
        'a program and its arguments, as `[/usr/local/bin/page, "{job}", "{status}"]`; it gets the notice as JSON '
        "on its standard input. `{job}` and `{status}` are replaced; there is no shell",
        "one of these",
    )
    secret: Secret = omitted(
        "of `webhook`: the key with which the body is signed: a reference, as `${HOOK_SECRET}`", "required for it"
    )
    smtp: Secret = omitted(
        "of `email`: the mail server: a reference, as `${SMTP_URL}`, that means `smtps://user:password@host:465`, or "
        "`smtp://…` with STARTTLS. Without TLS only on this machine",
        "required for it",
    )
    sender: Annotated[Text, AfterValidator(lambda text: _addresses([text])[0])] = omitted(
        "of `email`: the sender's address", "the user of `smtp`, if that is an address; else `cio-etl@` this machine"
    )
    timeout: Annotated[timedelta, PlainValidator(_limit, json_schema_input_type=str)] = Field(
        timedelta(seconds=30),
        description="of `command`: how long it may run before it is killed, from `1s` to `5m`",
        json_schema_extra={SHOWN_DEFAULT: "`30s`"},
    )
    ca_file: LocalPath = omitted("the certificates of a private authority, PEM", "the system's")
    on: Annotated[dict[str, float | None], PlainValidator(_on, json_schema_input_type=_WrittenOn)] = Field(
        dict(DEFAULT_ON),
        description=f"a list of {_SHAPES.replace(' or ', ', ')}. See Being told.",
        json_schema_extra={SHOWN_DEFAULT: "`[failed, recovered, stale]`"},
    )

    def to_channel(self, written: MappingOf[str, Any], label: str, environ: MappingOf[str, str]) -> Channel:
        """The channel; `written` has the references as they are in the file."""
        kind = _kind_of(self)
        own = written.get("smtp" if kind == "email" else kind)
        where = self.command if kind == "command" else [own, *(self.email or ())]
        return Channel(
            kind=kind,
            label=label,
            key=hashlib.sha256(json.dumps([kind, where]).encode()).hexdigest()[:32],
            on=self.on,
            address=None if kind == "command" else _reference(own, kind, environ),
            secret=_reference(written["secret"], "", environ) if kind == "webhook" else None,
            to=tuple(self.email or ()),
            sender=self.sender,
            command=tuple(self.command or ()),
            timeout_s=self.timeout.total_seconds() if kind == "command" else 10.0,
            ca_file=self.ca_file,
        )


def channels_of(
    sections: Sequence[NotifyYaml], written: Sequence[MappingOf[str, Any]], environ: MappingOf[str, str]
) -> tuple[Channel, ...]:
    """The channels of a list; `written` is that list as it is in the file.

    A reference that means nothing here is a fault of its channel, and not of the job: nobody loses a night over it.
    """
    kinds = [_kind_of(each) for each in sections]
    many, seen, channels = Counter(kinds), Counter[str](), []
    for section, kind, raw in zip(sections, kinds, written, strict=True):
        seen[kind] += 1
        label = f"{kind} {seen[kind]}" if many[kind] > 1 else kind
        channel = section.to_channel(raw, label, environ)
        seen[channel.key] += 1
        again = "" if seen[channel.key] == 1 else f" {seen[channel.key]}"  # the same place, with other conditions
        channels.append(replace(channel, key=channel.key + again))
    return tuple(channels)


def _kind_of(section: NotifyYaml) -> ChannelKind:
    return next(kind for kind in get_args(ChannelKind) if getattr(section, kind) is not None)


def _reference(written: Any, kind: str, environ: MappingOf[str, str]) -> Reference:
    """What a reference means; its form has been checked."""
    try:
        value = resolve_secret(written, environ)
    except ValueError as error:
        return Reference(written, fault=str(error))
    if kind in ("slack", "webhook") and not (
        value.startswith("https://") or is_loopback("/".join(value.split("/")[:3]))
    ):
        return Reference(written, fault=f"{written} must mean an https:// address, or one on this machine")
    if kind == "email" and not re.match(r"smtps?://[^/]", value):
        return Reference(written, fault=f"{written} must mean an address as smtps://user:password@host:465")
    return Reference(written, SecretStr(value))
