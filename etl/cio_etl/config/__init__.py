"""Reads YAML files as a checked Job or Mapping, and reports every fault at once with file, line and remedy.

`load_job` and `load_mapping` raise all faults as one ConfigError; `read_job` and `read_mapping` return what is usable
together with the faults. `canonical`, `digest` and `describe_change` compare what two mappings do. `describe` lists the
keys of a section, starting from `JobYaml` or `MappingYaml`. Outside the doors, only this room reads the environment.
"""

from cio_etl.config.canonical import canonical, describe_change, digest
from cio_etl.config.describe import Key, describe
from cio_etl.config.function_arguments import require_secrets, stand_ins
from cio_etl.config.job import load_job, read_job
from cio_etl.config.job_sections import JobYaml
from cio_etl.config.mapping import load_mapping, read_mapping
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.source import load_source, source_section
from cio_etl.model.yaml_section import duration

__all__ = [
    "JobYaml",
    "Key",
    "MappingYaml",
    "canonical",
    "describe",
    "describe_change",
    "digest",
    "duration",
    "load_job",
    "load_mapping",
    "load_source",
    "read_job",
    "read_mapping",
    "require_secrets",
    "source_section",
    "stand_ins",
]
