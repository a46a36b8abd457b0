"""Reasons for which a row is rejected before it is sent: each is declared once, here.

`reject_reason` writes a reason into REASONS and returns its code, by which the rule names it. They are not beside the
rules, because `status` prints reasons in words, and the rules need polars.
"""

from __future__ import annotations

from cio_etl.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is rejected, and what its owner can do about it."""

    code: str
    explanation: str
    remedy: str

    @property
    def words(self) -> str:
        """Explanation and remedy in one line, for tables and the terminal."""
        return f"{self.explanation}; {self.remedy}"


REASONS: dict[str, Reason] = {}


def reject_reason(code: str, explanation: str, remedy: str) -> str:
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

# Values that cannot be sent: the checks and the functions of transform/ give these reasons.
OPERATION_MISSING = reject_reason(
    "operation_missing",
    "the column of operation is empty, so nobody knows what is to be done with this row",
    "fill the column, or leave such rows out with `when`",
)
EVENT_KEY_MISSING = reject_reason(
    "event_key_missing",
    "a column of event_key is empty, so the event could be counted twice",
    "fill the column, or choose a key that every row has",
)
EVENT_ID_MISSING = reject_reason(
    "event_id_missing",
    "the column of event_id is empty, so the event could be counted twice",
    "fill the column, or write `event_key`",
)
NUMBER_NOT_FINITE = reject_reason(
    "number_not_finite", "NaN or infinity, which JSON cannot express", "fix the source, or write `on_error`"
)
IDENTIFIER_MISSING = reject_reason(
    "identifier_missing", "no identifier in this row", "fill the column, or leave such rows out with `when`"
)
IDENTIFIER_TOO_LONG = reject_reason(
    "identifier_too_long", "the identifier is over 150 bytes", "fix the source, or choose another column"
)
EMAIL_MALFORMED = reject_reason(
    "email_malformed",
    "not the shape of an e-mail address",
    "fix it; `apply: [email]` only removes characters around it",
)
CHARACTERS_UNSEEN = reject_reason(
    "characters_unseen",
    "it has characters that nobody sees, such as a zero-width space, so it is another name or id than it seems",
    "`trim` removes them at both ends; elsewhere fix the source",
)
PHONE_MALFORMED = reject_reason(
    "phone_malformed", "not a phone number in E.164 form, as +33123456789", "fix it, or apply `phone`"
)
OBJECT_MISSING = reject_reason(
    "object_missing", "no object in this row", "fill the column, or leave such rows out with `when`"
)
OBJECT_TOO_LONG = reject_reason(
    "object_too_long", "the object's id is over 150 bytes", "fix the source, or choose another column"
)
OBJECT_TYPE_MALFORMED = reject_reason(
    "object_type_malformed", "an object's type is its number at Customer.io, as 1", "write that number"
)
MERGE_OF_ONE = reject_reason(
    "merge_of_one", "both sides of the merge are the same person", "leave such rows out with `when`"
)
DEVICE_MISSING = reject_reason(
    "device_missing", "no device token in this row", "fill the column, or leave such rows out with `when`"
)
PLATFORM_UNKNOWN = reject_reason(
    "platform_unknown", "a device's platform is ios or android", "fix the source, or apply `map`"
)
RELATIONSHIP_MISSING = reject_reason(
    "relationship_missing", "no relationship in this row", "fill the column, or leave such rows out with `when`"
)
EVENT_NAME_MISSING = reject_reason(
    "event_name_missing", "the event has no name in this row", "fill the column, or leave such rows out with `when`"
)
EVENT_NAME_TOO_LONG = reject_reason(
    "event_name_too_long", "the event's name is over 100 bytes", "fix the source, or apply `map`"
)
EVENT_NAME_RESERVED = reject_reason(
    "event_name_reserved", "Customer.io acts on this event name", "list it in allow_reserved if you mean it"
)
TIMESTAMP_MISSING = reject_reason(
    "timestamp_missing",
    "no time in this row, and without one the event would be dated now",
    "fill the column, or leave such rows out with `when`",
)
TIMESTAMP_OUT_OF_RANGE = reject_reason(
    "timestamp_out_of_range",
    "not seconds between the years 1900 and 2200 (an event: 1970 and 2200)",
    "if it is milliseconds, apply `timestamp`",
)
VALUE_TOO_LONG = reject_reason(
    "value_too_long", "the value is over 1,000 bytes", "apply `truncate`, or leave it out of the mapping"
)
ITEM_TOO_LARGE = reject_reason("item_too_large", "the item is over 32,000 bytes", "send fewer or shorter attributes")
NOT_A_TEXT = reject_reason(
    "not_a_text",
    "a list or an object of JSON, where a text is read; or true or false as an identifier or a name",
    'take a part of it by `pick`; `pick: "[*]"` makes a list that `length`, `contains` and `join` read; `cast: text` '
    "accepts true and false",
)
NOT_A_NUMBER = reject_reason(
    "not_a_number",
    "not a number, or one with too many digits for the function",
    "fix the source, or apply `number`, which reads what people write",
)
CAST_FAILED = reject_reason(
    "cast_failed",
    "`cast` cannot read it as that type, or the number is too large",
    "fix the source, or write `on_error`",
)
BYTES_UNREADABLE = reject_reason(
    "bytes_unreadable", "`decode` cannot read the bytes in that form", "choose another `form`, or fix the source"
)
MAP_UNMATCHED = reject_reason(
    "map_unmatched", "`map` lists no such value, and has no default", "add the value, a `default`, or `optional: true`"
)
NOT_A_BOOLEAN = reject_reason("not_a_boolean", "`boolean` knows no such word", "give it the language, or the word")
PART_UNREADABLE = reject_reason(
    "part_unreadable",
    "a value of the object or list cannot be converted, or is NaN, infinity, or a date outside 1900 to 2200",
    "fix the source, or write `on_error`",
)
PHONE_UNREADABLE = reject_reason(
    "phone_unreadable", "`phone` finds no valid number in it", "a number without + needs a region"
)
TIMEZONE_UNKNOWN = reject_reason(
    "timezone_unknown", "not the name of a time zone, or a name of several", "write it as Europe/Paris"
)
JSON_UNREADABLE = reject_reason(
    "json_unreadable", "not JSON, so that `json` or `pick` cannot read it", "fix the source, or write `on_error`"
)
LOOKUP_UNMATCHED = reject_reason(
    "lookup_unmatched",
    "the file of `lookup` has no such key, and there is no default",
    "add the key, a `default`, or `optional: true`",
)
PATTERN_UNMATCHED = reject_reason(
    "pattern_unmatched",
    "the pattern of `regex_extract` matches nothing in it",
    "fix the pattern, or write `optional: true`",
)
EXPR_FAILED = reject_reason(
    "expr_failed", "the SQL of `expr` cannot be computed for this row", "where a cast may fail, write try_cast"
)
SLUG_EMPTY = reject_reason("slug_empty", "no letter or digit remains for a slug", "fix the source, or write `on_error`")
TIMESTAMP_UNREADABLE = reject_reason(
    "timestamp_unreadable",
    "`timestamp` cannot read it: another format, a day that no calendar has (31.02.), milliseconds under `unit: s`, or "
    "a time that a change of the clocks skipped or repeated",
    "give it `format` or `unit`; for changes of the clocks, `nonexistent` and `ambiguous`",
)
EVENT_KEY_REPEATED = reject_reason(
    "event_key_repeated",
    "another row has the same event_key, or event_id, and different values; only the first is sent",
    "fix the rows, or choose a key that differs",
)
NOT_A_LIST = reject_reason(
    "not_a_list", "the JSON that `explode` reads is not a list", "fix the source, or write a list of one entry"
)
ENTRY_NULL = reject_reason("entry_null", "the entry of the list that `explode` reads is null", "fix the source")
