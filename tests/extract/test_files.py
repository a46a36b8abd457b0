"""Files that a source names, and what is said of those that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cio_etl.errors import SourceError
from cio_etl.extract.files import RegularFile, named_files


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("custmers.csv", "did you mean {}/customers.csv?"),
        ("Customers.CSV", "did you mean {}/customers.csv?"),
        ("orders.csv", "check the path"),
        ("exports/orders.csv", "there is no folder {}/exports"),
    ],
)
def test_a_missing_path_is_reported_with_the_nearest_file_name(tmp_path: Path, path: str, remedy: str) -> None:
    (tmp_path / "customers.csv").touch()
    with pytest.raises(SourceError, match="cannot be read: No such file") as caught:
        RegularFile(str(tmp_path / path))
    assert remedy.format(tmp_path) in caught.value.remedy


def test_a_pattern_without_a_match_is_reported_with_the_nearest_file_name(tmp_path: Path) -> None:
    (tmp_path / "customers-1.csv").touch()
    with pytest.raises(SourceError, match="no file matches") as caught:
        named_files([str(tmp_path / "custmers-*.csv")])
    assert "did you mean" in caught.value.remedy
