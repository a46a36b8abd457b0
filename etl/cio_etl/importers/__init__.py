"""Importers: jobs and mappings made of the definitions of other tools (`cio-etl import-from`).

lost.py         what could not be carried over: one record
records.py      what an importer is and makes: plain records
definitions.py  reads YAML and JSON with the line of each value, and knows what was not read
values.py       templates, identifiers and schedules
hightouch.py, census.py, segment/, rudderstack.py    one importer each: a record, and a function from files to steps
write.py        writes job, mappings and queries, with what could not be carried over as comments
"""

from cio_etl.importers.census import CENSUS
from cio_etl.importers.definitions import read_definitions
from cio_etl.importers.hightouch import HIGHTOUCH
from cio_etl.importers.lost import Lost
from cio_etl.importers.records import Imported, ImportedStep, Importer, Page
from cio_etl.importers.rudderstack import RUDDERSTACK
from cio_etl.importers.segment import SEGMENT
from cio_etl.importers.write import Written, write_imported

IMPORTERS = {importer.name: importer for importer in (HIGHTOUCH, CENSUS, SEGMENT, RUDDERSTACK)}

__all__ = [
    "IMPORTERS",
    "Imported",
    "ImportedStep",
    "Importer",
    "Lost",
    "Page",
    "Written",
    "read_definitions",
    "write_imported",
]
