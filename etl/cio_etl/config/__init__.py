"""YAML in, a checked Job out: every fault of the job and its mappings at once, with file, line and what to do.

`load_job` reads a job and its mappings, `load_mapping` one mapping; `read_job` and `read_mapping` give what can be had
beside what is wrong. `canonical`, `digest` and `describe_change` say what a mapping means and what changed between two
of them. The environment is read here and nowhere else.
"""

from cio_etl.config.canonical import canonical, describe_change, digest
from cio_etl.config.describe import Key, describe
from cio_etl.config.function_arguments import require_secrets, stand_ins
from cio_etl.config.job import load_job, read_job
from cio_etl.config.mapping import load_mapping, read_mapping
from cio_etl.config.source import load_source, source_section
from cio_etl.model.yaml_section import duration

__all__ = [
    "Key",
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
