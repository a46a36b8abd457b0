"""Presets: a job, mappings, tests and a recipe for the exports of a well-known product.

A preset is a folder of `mappings/presets/`, which the wheel has as `cio_etl/presets/products/`. Nothing of it is code:

preset.yaml   its title, the shapes of the files that it reads, the vendor's documents, and what a migration loses
job.yaml      the steps in their order; paths are those of the repository, and are changed when a user's copy is written
*.yaml        the mappings of the steps
tests/        tests of the mappings, for `cio-etl test`
sample/       small files in the product's shape; NAME.sql makes the SQLite database NAME.sqlite
README.md     the recipe

catalog.py    finds and reads the presets
recognise.py  which presets read a file with these columns
write.py      writes a preset's files into a user's folder
"""

from cio_etl.presets.catalog import Document, ExportFile, Preset, find_preset, presets
from cio_etl.presets.recognise import Recognised, columns_of, recognise, which_file, why_not
from cio_etl.presets.write import Exports, Written, write_preset

__all__ = [
    "Document",
    "ExportFile",
    "Exports",
    "Preset",
    "Recognised",
    "Written",
    "columns_of",
    "find_preset",
    "presets",
    "recognise",
    "which_file",
    "why_not",
    "write_preset",
]
