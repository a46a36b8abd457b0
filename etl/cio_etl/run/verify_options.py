"""Declares the options of the command `verify`. See options.py."""

from __future__ import annotations

from dataclasses import dataclass

from cio_etl.run.options import ReadOptions, Waiting, option

VERIFY_OPTIONS = ("sample", "steps", "target", "seed", "wait", "reveal")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions(ReadOptions, Waiting):
    """Whom a verification reads back."""

    sample: int = option(3_000, "How many people are drawn at random.", "count", metavar="N", interfaces=("cli",))
    seed: int = option(
        1, "Draw other people with another number, and the same ones with the same.", "count", interfaces=("cli",)
    )
    wait: float | str = option(
        10.0,
        "How long after the first look whoever differs is looked at again, in seconds or such as 1m.",
        "duration",
        metavar="DURATION",
        interfaces=("cli",),
    )
    reveal: bool = option(False, "Show identifiers and values of some who differ.", "flag", interfaces=("cli",))
