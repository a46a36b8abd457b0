"""An error of a library becomes that of a damaged file, unless it is a limit of this machine or a request to stop."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from cio_etl.errors import SourceError
from cio_etl.extract.decoding import decoding
from cio_etl.extract.excel_files import open_excel
from cio_etl.model import ExcelSource, Staging


class PanicException(BaseException):
    """As each library in Rust has its own."""


OWN = SourceError(place="x", what="has no sheet 'S'")
CANARY = "canary"


@pytest.mark.parametrize("error", [ValueError(CANARY), PanicException(CANARY), OSError(5, CANARY)])
def test_an_error_of_a_library_is_replaced_without_its_words(error: BaseException) -> None:
    with pytest.raises(SourceError, match=r"^x: is damaged$") as caught, decoding(_damaged):
        raise error
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.fault("P7")
@pytest.mark.parametrize(
    "error", [OWN, MemoryError(), RuntimeError("can't start new thread"), KeyboardInterrupt(), GeneratorExit()]
)
def test_own_errors_limits_and_requests_to_stop_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, decoding(_damaged):
        raise error
    assert caught.value is error


@pytest.mark.fault("P7")
def test_a_workbook_is_not_called_damaged_when_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "")

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(zipfile, "ZipFile", no_memory)  # a patch: a limit for real is at times met elsewhere
    with pytest.raises(MemoryError):
        open_excel(ExcelSource((str(path),)), Staging(tmp_path / "stage"))


def _damaged() -> SourceError:
    return SourceError(place="x", what="is damaged")
