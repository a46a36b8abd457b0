"""The result of a verification: how many people of a sample Customer.io has with the values that were sent."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import field, fields
from typing import Any

from cio_etl.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Verify:
    """What a job says of the verification after each of its runs."""

    people: int  # of the sample
    wait_s: float = 10.0  # before the first look, and before the second one at those who differ


@dataclass(frozen=True, slots=True)
class AttributeDifference:
    """People of whom Customer.io has another value of an attribute than was sent, or none."""

    attribute: str
    people: int
    examples: tuple[str, ...] = ()  # only where values are revealed


@dataclass(frozen=True, slots=True)
class Verification:
    """People who were read back, by what was found. Every drawn one is checked, or is in `not_compared`.

    `most_differ` is the share of all people that differ at most, with `confidence`, were the sample drawn again; it is
    the share itself when all people were checked. None: nobody was checked.
    """

    people: int  # of whom the sample was drawn
    people_exact: bool  # False: estimated
    drawn: int
    checked: int = 0
    missing: int = 0  # Customer.io does not have them
    differing: int = 0  # it has them, with another value of an attribute
    attributes: tuple[AttributeDifference, ...] = ()  # the most frequent first
    not_compared: MappingOf[str, int] = field(default_factory=dict)  # people by the reason
    left_out: tuple[str, ...] = ()  # steps that send no people, in words
    never_sent: tuple[str, ...] = ()  # steps that are compared, though the state knows no run that has sent them
    most_differ: float | None = None
    confidence: float = 0.95
    seed: int = 1
    fault: str | None = None  # why nothing could be read back
    missing_examples: tuple[str, ...] = ()  # only where values are revealed

    @property
    def equal(self) -> int:
        """People who are as they were sent."""
        return self.checked - self.missing - self.differing

    @property
    def different(self) -> int:
        """People who are missing or differ."""
        return self.missing + self.differing

    @property
    def is_whole(self) -> bool:
        """Whether every person was checked."""
        return self.people_exact and self.checked == self.people

    @classmethod
    def of_json(cls, content: MappingOf[str, Any]) -> Verification:
        """The result that `as_json` has given. Raises KeyError, TypeError or ValueError for anything else."""
        values = {each.name: content[each.name] for each in fields(cls) if each.name in content}
        attributes = (
            AttributeDifference(each["attribute"], int(each["people"]), tuple(each.get("examples", ())))
            for each in content["attributes"]
        )
        lists = {
            name: tuple(map(str, values[name]))
            for name in ("left_out", "never_sent", "missing_examples")
            if name in values
        }
        return cls(**values | lists | {"attributes": tuple(attributes), "not_compared": dict(content["not_compared"])})

    def as_json(self) -> dict[str, Any]:
        """The result as JSON types."""
        return {
            "people": self.people,
            "people_exact": self.people_exact,
            "drawn": self.drawn,
            "checked": self.checked,
            "equal": self.equal,
            "missing": self.missing,
            "differing": self.differing,
            "attributes": [
                {
                    "attribute": each.attribute,
                    "people": each.people,
                    **({"examples": list(each.examples)} if each.examples else {}),
                }
                for each in self.attributes
            ],
            "not_compared": dict(self.not_compared),
            "left_out": list(self.left_out),
            "most_differ": self.most_differ,
            "confidence": self.confidence,
            "seed": self.seed,
            "fault": self.fault,
            **({"missing_examples": list(self.missing_examples)} if self.missing_examples else {}),
        }
