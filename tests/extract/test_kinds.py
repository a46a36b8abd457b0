"""Every kind of source is complete: YAML keys, record, reader, and what doctor, rejects and lineage ask of it."""

from __future__ import annotations

from typing import Any

import pytest

from cio_etl.config.source_sections import SourceYaml
from cio_etl.extract import READERS
from cio_etl.model import FileSource, ReplaySource, Source
from cio_etl.model.sources import KINDS, SourceKeys

EXAMPLES: dict[str, dict[str, Any]] = {
    "sql": {"sql": "postgresql://me@db/shop", "table": "orders"},
    **{
        kind: {kind: f"/data/rows.{kind}"} for kind in ("csv", "parquet", "ndjson", "excel", "avro", "delta", "iceberg")
    },
}


def source_of(kind: type[SourceKeys]) -> Source:
    return SourceYaml.model_validate(EXAMPLES[kind.kind()]).to_source()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind())
def test_every_kind_has_a_record_a_place_and_datasets(kind: type[SourceKeys]) -> None:
    source = source_of(kind)
    assert source.place
    assert all(namespace and name for namespace, name in source.datasets())
    assert not source.lacks_secrets and not source.is_piped
    assert (type(source).__module__, kind.__module__) == (kind.__module__, f"cio_etl.model.sources.{kind.kind()}")


def test_every_kind_has_a_reader_and_no_reader_is_without_a_kind() -> None:
    assert {type(source_of(kind)) for kind in KINDS} | {ReplaySource} == set(READERS)


def test_endings_of_file_names_belong_to_one_kind_each() -> None:
    endings = [ending for kind in KINDS for ending in kind.endings]
    assert len(endings) == len(set(endings))


def test_local_files_are_repeatable_and_files_of_stores_and_pipes_are_staged() -> None:
    sources = {kind.kind(): source_of(kind) for kind in KINDS}
    assert [name for name, source in sources.items() if not source.is_staged] == ["csv", "parquet", "ndjson"]
    assert [name for name, source in sources.items() if not source.is_repeatable] == ["delta", "iceberg", "sql"]
    for path in ("-", "s3://lake/rows.csv", "https://files.example/rows.csv"):
        source = SourceYaml.model_validate({"csv": path}).to_source()
        assert isinstance(source, FileSource) and source.is_staged and source.is_piped == (path == "-")


@pytest.mark.parametrize("path", ["https://me:hunter2@files.example/a.csv?sig=hunter2", "s3://lake/a.csv?sig=hunter2"])
def test_the_place_of_remote_files_has_no_secrets(path: str) -> None:
    source = SourceYaml.model_validate({"csv": path}).to_source()
    assert "hunter2" not in source.place and "hunter2" not in repr(source.datasets())
