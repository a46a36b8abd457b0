"""Rows to items: pure polars expressions, no effects. A row never becomes a Python object.

mapping.py      a mapping against a source's columns: compiled once
chains.py       a value on its way from its columns, through its functions
column_facts.py     what must be known of whole columns first
compiled.py     frame in, items frame out
functions/      the functions of `apply`, and the table of them
e164.py         the number that a text says
distinct.py     a Python function over a column, once for each distinct value
checks.py       what must hold of a row before it is sent
encode.py       JSON text, exactly
structs.py      fields of a struct, whatever their names
ids.py          a person's lane, an event's id
operations.py   what Customer.io can be asked to do: a table
payloads.py     how each operation is said to an API: tables, and the tree of an item
"""

from cio_etl.model import REASONS, reason_words
from cio_etl.transform.chains import Gathered, require_columns
from cio_etl.transform.checks import columns_of
from cio_etl.transform.column_facts import collect_facts
from cio_etl.transform.compiled import Compiled, Mapped, outcome
from cio_etl.transform.mapping import compile_mapping, with_json

__all__ = [
    "REASONS",
    "Compiled",
    "Gathered",
    "Mapped",
    "collect_facts",
    "columns_of",
    "compile_mapping",
    "outcome",
    "reason_words",
    "require_columns",
    "with_json",
]
