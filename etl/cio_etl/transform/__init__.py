"""Rows to items: pure polars expressions, no effects. A row never becomes a Python object.

mapping.py      compiles a mapping against a source's columns
chains.py       a value from its columns through its functions
column_facts.py facts about whole columns that functions need first
json_columns.py columns of JSON text, sent as JSON or read as text
paths.py        parts of columns, as columns of their own
unseen_paths.py paths that lead to a value in no row
lost_values.py  functions that make null of every value that they get
json_texts.py   keys of many JSON objects at once, each value as its JSON text
json_strings.py the strings in JSON texts
odd_values.py   values of the source that reject their row, whichever functions read them
compiled.py     a frame of rows in, a frame of items out
functions/      the functions of `apply`; one decorated function each
timestamps.py   expressions that make Unix seconds
row_sql.py      SQL over the columns of one row
e164.py         phone numbers
decimals.py     exact arithmetic on decimal numbers
explode.py      each entry of a list as a row
distinct.py     a Python function, called once for each distinct value
checks.py       the checks of a row, each with its reason
by_hash.py      rows by the hash of their key, in bounded memory
repeats.py      rows that repeat another row's key
event_keys.py   event keys that stay the same when their rows change
parts.py        an item's subject and its parts, as hashes
prefetch.py     maps frames in parallel, in their order
decisions.py    what is sent of each row of a step that sends only what changed
order.py        the sort keys of `order_by`
encode.py       JSON text, exactly
reject_keys.py  what a later run finds a reject by
reason_counts.py  rejected rows and omitted values, counted by reason
invisible.py    characters that nobody sees
nested.py       types inside types: walking them, naming them
ids.py          a person's lane, an event's id
arrays.py       numpy and pyarrow, imported when they are first used
payloads.py     the tree of an item, from an API's payload table
"""

from cio_etl.transform.chains import KnownFacts, column_of, readers_of, require_columns, require_names
from cio_etl.transform.checks import columns_of, columns_of_source
from cio_etl.transform.column_facts import collect_facts
from cio_etl.transform.compiled import ITEMS_SCHEMA, Compiled, Mapped, outcome
from cio_etl.transform.explode import exploded, exploded_fingerprint, with_faults_of_entries
from cio_etl.transform.json_columns import as_texts, plain_rows, with_json, with_json_columns
from cio_etl.transform.lost_values import lost_values
from cio_etl.transform.mapping import compile_mapping, row_condition
from cio_etl.transform.paths import columns_to_read, members_of, path_of, with_members, with_path_columns, with_paths
from cio_etl.transform.reason_counts import OmittedCounter, counted_rejects, located_rejects, omitted_values
from cio_etl.transform.unseen_paths import has_no_entries, unseen_paths

__all__ = [
    "ITEMS_SCHEMA",
    "Compiled",
    "KnownFacts",
    "Mapped",
    "OmittedCounter",
    "as_texts",
    "collect_facts",
    "column_of",
    "columns_of",
    "columns_of_source",
    "columns_to_read",
    "compile_mapping",
    "counted_rejects",
    "exploded",
    "exploded_fingerprint",
    "has_no_entries",
    "located_rejects",
    "lost_values",
    "members_of",
    "omitted_values",
    "outcome",
    "path_of",
    "plain_rows",
    "readers_of",
    "require_columns",
    "require_names",
    "row_condition",
    "unseen_paths",
    "with_faults_of_entries",
    "with_json",
    "with_json_columns",
    "with_members",
    "with_path_columns",
    "with_paths",
]
