"""Reads files of lines, CSV and NDJSON, in place and in bounded memory.

plain_text.py    the text of a file, unpacked and in UTF-8; in a copy where that is needed
chunks.py        two passes over a text, which both formats share
csv_files.py     CSV, with csv_records.py (where records end), csv_header.py, csv_escapes.py, csv_prologue.py (titles,
                 comments), csv_joined.py (traces of files that were put together)
ndjson_files.py  NDJSON, with ndjson_types.py (what its columns hold), which reads values as JSON text by
                 transform/json_texts.py, and json_list.py (a file that is one list)
"""

from cio_etl.extract.text.chunks import ChunkLimits
from cio_etl.extract.text.csv_files import open_csv
from cio_etl.extract.text.csv_layout import SEPARATORS
from cio_etl.extract.text.csv_settings import csv_settings
from cio_etl.extract.text.ndjson_files import open_ndjson

__all__ = ["SEPARATORS", "ChunkLimits", "csv_settings", "open_csv", "open_ndjson"]
