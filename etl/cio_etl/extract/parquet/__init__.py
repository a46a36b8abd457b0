"""Reads Parquet files as a snapshot, in bounded memory whatever their layout.

thrift.py     structures of Thrift's compact protocol, in which a file describes itself
pages.py      the pages of a column: their checksums, and how large they become
delta.py      how large a page of texts becomes that leave out what they share
footer.py     what a file says of itself: row groups, columns, and why a column is not read
agreement.py  the types that the columns of several files have together
decode.py     rows of one file, each column by the library that reads it
rows.py       the snapshot of all files
"""

from cio_etl.extract.parquet.rows import open_parquet

__all__ = ["open_parquet"]
