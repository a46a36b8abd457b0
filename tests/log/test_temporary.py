"""Is a folder of copied rows known until it is gone, so that a signal at any moment deletes it?"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from cio_etl.log.temporary import delete_temporary_folders, temporary_folder


def test_a_signal_while_a_folder_is_deleted_deletes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[bool] = []
    cleanup = TemporaryDirectory.cleanup

    def interrupted(folder: TemporaryDirectory[str]) -> None:
        delete_temporary_folders()  # what the thread of the signal does
        left.append(Path(folder.name).exists())
        cleanup(folder)

    monkeypatch.setattr(TemporaryDirectory, "cleanup", interrupted)
    with temporary_folder() as name:
        Path(name, "rows.parquet").write_bytes(b"rows")
    assert left == [False]
