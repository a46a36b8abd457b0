"""Tables of a lake: one version of a table, its data files streamed one after another.

version.py  what a version of a table is: schema, files, deleted rows
delta.py    the files of a Delta table's version
iceberg.py  the files of an Iceberg table's snapshot
tables.py   reads the rows of a version
"""

from cio_etl.extract.lake.tables import lake_reader, open_lake

__all__ = ["lake_reader", "open_lake"]
