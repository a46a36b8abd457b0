"""Words a count in messages, findings and reports."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 step`, `2,000 steps`; `plural` is for a noun that does not take an s, or for a whole phrase."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
