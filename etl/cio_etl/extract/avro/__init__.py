"""Reads Avro files in bounded memory, although polars decodes only whole files.

container.py  a file's header, and its blocks, unpacked
schema.py     a file's schema as polars can decode it, and what its columns become
rows.py       the snapshot of a copy of all files
"""

from cio_etl.extract.avro.rows import open_avro

__all__ = ["open_avro"]
