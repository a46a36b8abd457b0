"""Reasons for which a row is rejected before it is sent: each is declared once, where the rule is.

`reject_reason` writes a reason into REASONS and returns its code. Rules of transform/ declare theirs beside the rule;
the reasons that readers and senders give a row are here, because several rooms use them.
"""

from __future__ import annotations

from cio_etl.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is rejected, and what its owner can do about it."""

    code: str
    explanation: str
    remedy: str = ""  # empty: the explanation says it

    @property
    def words(self) -> str:
        """Explanation and remedy in one line, for tables and the terminal."""
        return f"{self.explanation}; {self.remedy}" if self.remedy else self.explanation


REASONS: dict[str, Reason] = {}  # complete once cio_etl.transform is imported


def reject_reason(code: str, explanation: str, remedy: str = "") -> str:
    """Declare a reason and return its code. Raises ValueError when the code is declared already."""
    if code in REASONS:
        raise ValueError(f"the reason {code!r} is declared twice")
    REASONS[code] = Reason(code, explanation, remedy)
    return code


def reason_words() -> dict[str, str]:
    """Each reason's code with its explanation and remedy in one line."""
    return {code: reason.words for code, reason in REASONS.items()}


# Faults of a row of the source: the reader writes them into the column FAULT.
ROW_RAGGED = reject_reason("row_ragged", "the row has more or fewer fields than the header", "fix the file")
ROW_NUL = reject_reason("row_nul", "the row holds a NUL byte", "fix the file")
ROW_HEADER = reject_reason(
    "row_header",
    "the row is the header line once more",
    "take it out; several files are named one by one or by a pattern",
)
ROW_MARKED = reject_reason(
    "row_marked",
    "a field begins with a byte-order mark, or the row with the Ctrl-Z that ends a file of DOS",
    "put files together without them",
)
ROW_UNREADABLE = reject_reason(
    "row_unreadable",
    "the line is not one JSON object, or it holds a number beyond a float, half a surrogate pair, or is nested too "
    "deeply",
    "fix the file",
)
CELL_ERROR = reject_reason(
    "cell_error", "a cell of the sheet holds an error, such as #N/A or #DIV/0!", "fix its formula, or clear the cell"
)
CELL_WITHOUT_DAY = reject_reason(
    "cell_without_day",
    "a cell of the sheet holds, in a column of days, a time without a day, a day before 1900, or 29 February 1900, "
    "which no calendar has",
    "write the day into the cell, or format the column as text",
)
CELL_NOT_COMPUTED = reject_reason(
    "cell_not_computed",
    "a cell of the sheet holds a formula, and the file does not have its result",
    "open the file in a spreadsheet program, and save it",
)
MAP_KEY_REPEATED = reject_reason(
    "map_key_repeated", "a map has a key twice, and JSON has one value for each", "fix the source"
)
VALUE_OF_OTHER_TYPE = reject_reason(
    "value_of_other_type",
    "in the fixed file a value does not have its column's type",
    "fix it, or export the rejects as .parquet",
)

# Requests whose answer was lost, where sending the row again could do the same thing twice.
OUTCOME_UNKNOWN = reject_reason(
    "outcome_unknown", "the answer was lost", "look in Customer.io whether it was done, before you send it again"
)
