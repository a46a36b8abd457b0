"""What the program knows about the APIs of Customer.io: one record and one folder for each.

catalog.py      the APIs by name
track/          the Track API: its record, endpoints with their judges, and the payload of each operation
pipelines/      the Pipelines API, likewise
operations.py   what a mapping can ask Customer.io to do: a table
changes.py      change records: several operations in one mapping
removals.py     how subjects that a source no longer has are removed
unsupported.py  the parts of a mapping that an API cannot take
api.py          the records that describe an API
answers.py      what is the same in the answers of all APIs
app.py          the App API, by which people are read back
addresses.py    the addresses to which credentials and rows may be sent
"""

from cio_etl.apis import app
from cio_etl.apis.addresses import allowed_address, is_loopback
from cio_etl.apis.answers import by_status, masked
from cio_etl.apis.api import Api, Endpoint, Payload, variable
from cio_etl.apis.catalog import APIS, DEFAULT_API, endpoint, get
from cio_etl.apis.changes import OPERATION, combined, each_operation, main_operation, not_combined, of_operation
from cio_etl.apis.operations import OPERATIONS, PARTS, SEMANTIC_EVENTS, Operation
from cio_etl.apis.removals import KEY, REMOVALS, removal
from cio_etl.apis.unsupported import unsupported

__all__ = [
    "APIS",
    "DEFAULT_API",
    "KEY",
    "OPERATION",
    "OPERATIONS",
    "PARTS",
    "REMOVALS",
    "SEMANTIC_EVENTS",
    "Api",
    "Endpoint",
    "Operation",
    "Payload",
    "allowed_address",
    "app",
    "by_status",
    "combined",
    "each_operation",
    "endpoint",
    "get",
    "is_loopback",
    "main_operation",
    "masked",
    "not_combined",
    "of_operation",
    "removal",
    "unsupported",
    "variable",
]
