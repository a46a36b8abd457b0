"""Reads YAML files as a checked Job or Mapping, and reports every fault at once with file, line and remedy.

`load_job` and `load_mapping` raise all faults as one ConfigError; `check_file` lists them, with those of examples.
`load_outline` reads what a job file says of its runs and its state, whatever else is wrong in it.
`canonical`, `digest` and `describe_change` compare what two mappings do. `describe` lists the keys of a section, from
`JobYaml` and `MappingYaml` downwards. Apart from the doors, only this room reads the environment.

The names load when they are used: the outline of a job needs no mapping, and so no polars.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.config.canonical_form import canonical, changes_by_file, describe_change, digest
    from cio_etl.config.check import Checked, check_file, is_mapping_file, job_warnings, plain_data
    from cio_etl.config.env_file import read_env_file
    from cio_etl.config.examples import check_examples
    from cio_etl.config.folder_file import FOLDER_FILE
    from cio_etl.config.function_arguments import require_secrets, stand_ins
    from cio_etl.config.job import load_job, load_jobs
    from cio_etl.config.job_outline import load_outline, load_outlines
    from cio_etl.config.job_sections import JobYaml
    from cio_etl.config.json_schema import MODELINE, SCHEMA_FILE, SchemaKind, is_generated_schema, schema_text
    from cio_etl.config.keys import Key, describe
    from cio_etl.config.mapping import load_mapping
    from cio_etl.config.mapping_sections import MappingYaml
    from cio_etl.config.mapping_tests import MappingTest, MappingTests, find_tests, tests_file
    from cio_etl.config.other_columns import (
        SourceColumns,
        attributes_of_columns,
        require_other_columns,
        rows_of,
        source_columns,
        with_columns,
    )
    from cio_etl.config.schedule import next_time, times_before
    from cio_etl.config.short_values import PLAIN_NAME
    from cio_etl.config.source import address_of, is_database, load_source, source_section
    from cio_etl.config.yaml_writer import yaml_text

_FILES = {
    "canonical_form": ("canonical", "changes_by_file", "describe_change", "digest"),
    "check": ("Checked", "check_file", "is_mapping_file", "job_warnings", "plain_data"),
    "keys": ("Key", "describe"),
    "env_file": ("read_env_file",),
    "examples": ("check_examples",),
    "folder_file": ("FOLDER_FILE",),
    "function_arguments": ("require_secrets", "stand_ins"),
    "job": ("load_job", "load_jobs"),
    "job_outline": ("load_outline", "load_outlines"),
    "job_sections": ("JobYaml",),
    "json_schema": ("MODELINE", "SCHEMA_FILE", "SchemaKind", "is_generated_schema", "schema_text"),
    "mapping": ("load_mapping",),
    "mapping_sections": ("MappingYaml",),
    "mapping_tests": ("MappingTest", "MappingTests", "find_tests", "tests_file"),
    "other_columns": (
        "SourceColumns",
        "attributes_of_columns",
        "require_other_columns",
        "rows_of",
        "source_columns",
        "with_columns",
    ),
    "schedule": ("next_time", "times_before"),
    "short_values": ("PLAIN_NAME",),
    "source": ("address_of", "is_database", "load_source", "source_section"),
    "yaml_writer": ("yaml_text",),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

__all__ = [
    "FOLDER_FILE",
    "MODELINE",
    "PLAIN_NAME",
    "SCHEMA_FILE",
    "Checked",
    "JobYaml",
    "Key",
    "MappingTest",
    "MappingTests",
    "MappingYaml",
    "SchemaKind",
    "SourceColumns",
    "address_of",
    "attributes_of_columns",
    "canonical",
    "changes_by_file",
    "check_examples",
    "check_file",
    "describe",
    "describe_change",
    "digest",
    "find_tests",
    "is_database",
    "is_generated_schema",
    "is_mapping_file",
    "job_warnings",
    "load_job",
    "load_jobs",
    "load_mapping",
    "load_outline",
    "load_outlines",
    "load_source",
    "next_time",
    "plain_data",
    "read_env_file",
    "require_other_columns",
    "require_secrets",
    "rows_of",
    "schema_text",
    "source_columns",
    "source_section",
    "stand_ins",
    "tests_file",
    "times_before",
    "with_columns",
    "yaml_text",
]


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
