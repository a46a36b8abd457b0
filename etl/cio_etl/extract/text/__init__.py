"""Files of lines: CSV and NDJSON, where they lie, without holding them.

plain_text.py    the text of a file: unpacked and in UTF-8, in a copy where it must be
chunks.py        two passes over a text: what both formats share
csv_files.py     CSV, with csv_records.py (where records end), csv_header.py, csv_escapes.py
ndjson_files.py  NDJSON
"""
