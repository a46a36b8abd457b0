"""What is sent of each row, noted in any order and read by position."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from cio_etl.errors import DeltaDamaged
from cio_etl.ledger.decision_files import MASKS, REFUSALS, WORDS_AT_ONCE, DecisionWriter, read_decisions
from cio_etl.model import POSITION
from cio_etl.transform.decisions import AS_MAPPED, BLOCK, PARTIAL, REFUSED, SAME, WHOLE, Decisions, words

ROWS = 2 * WORDS_AT_ONCE + 1_000  # their decisions are in memory in three parts
FRAME = 100_000


def written(folder: Path, codes: np.ndarray, masks: np.ndarray, parts: tuple[str, ...]) -> Decisions:
    """The decisions, noted in an order that is not that of the rows."""
    rows, width = len(codes), words(len(parts))
    writer = DecisionWriter(folder, rows, width)
    for start in range(0, rows, FRAME):
        writer.begin(start + np.flatnonzero(codes[start : start + FRAME] != AS_MAPPED))
    order = np.random.default_rng(1).permutation(np.flatnonzero((codes != AS_MAPPED) & (codes != SAME)))
    for some in np.array_split(order, 7):
        writer.decide(pl.DataFrame({POSITION: some, "code": codes[some]}), masks[some])
        refused = some[codes[some] == REFUSED]
        writer.refuse(pl.DataFrame({"position": refused, "reason": refused.astype(str), "field": "email"}))
    writer.finish()
    return read_decisions(folder, rows, parts)


@pytest.mark.parametrize("parts", [3, 100])
def test_decisions_are_read_as_they_were_noted(tmp_path: Path, parts: int) -> None:
    dice, names = np.random.default_rng(0), tuple(f"part{n}" for n in range(parts))
    codes = dice.choice(np.array([AS_MAPPED, SAME, WHOLE, PARTIAL, REFUSED], np.uint8), ROWS)
    codes[300_000:700_000] = SAME  # a block without a row that is sent
    codes[0] = PARTIAL
    masks = dice.integers(0, 2**63, (ROWS, words(parts)), dtype=np.uint64)
    found = written(tmp_path, codes, masks, names)
    assert found.same == np.count_nonzero(codes == SAME)
    for start in range(0, ROWS, FRAME):
        here = np.arange(start, min(start + FRAME, ROWS))
        assert (found.codes(here) == codes[here]).all()
        refused = here[codes[here] == REFUSED].tolist()
        if refused:
            given = found.read_refused(refused[0], refused[-1])
            assert given.rows() == [(position, str(position), "email") for position in refused]
        partial = here[codes[here] == PARTIAL]
        if len(partial):
            assert (found.masks(partial) == masks[partial]).all()
            assert (found.masks(partial[5:6]) == masks[partial[5:6]]).all()
    far = dice.permutation(ROWS)[:1_000]
    assert np.ptp(far) > BLOCK and (found.codes(far) == codes[far]).all()
    assert found.codes(far[:0]).size == 0


@pytest.mark.parametrize("every, portions", [(1_000, 3), (10, 6), (3, 12)])
def test_frames_of_which_few_rows_are_sent_are_mapped_together(tmp_path: Path, every: int, portions: int) -> None:
    rows, size = 300_000, 25_000
    codes = np.full(rows, SAME, np.uint8)
    codes[::every], codes[1::every] = PARTIAL, AS_MAPPED
    found = written(tmp_path, codes, np.ones((rows, 1), np.uint64), ("a",))
    together = list(found.portions(pl.DataFrame({POSITION: range(n, n + size)}) for n in range(0, rows, size)))
    assert [each.rows for each in together] == [rows // portions] * portions
    before = 0
    for each in together:
        here = np.arange(before, before := before + each.rows)
        assert each.same is not None
        assert each.same["position"].to_list() == here[codes[here] == SAME].tolist()
        assert each.frame[POSITION].to_list() == here[codes[here] != SAME].tolist()


def test_refusals_are_found_by_their_position(tmp_path: Path) -> None:
    written(tmp_path, np.full(1_000, REFUSED, np.uint8), np.ones((1_000, 1), np.uint64), ("a",))
    position = pq.ParquetFile(tmp_path / REFUSALS).metadata.row_group(0).column(0)
    assert (position.path_in_schema, position.statistics.min, position.statistics.max) == ("position", 0, 999)


def test_files_take_a_byte_for_each_row_and_a_mask_for_those_that_are_sent_in_part(tmp_path: Path) -> None:
    codes = np.full(ROWS, SAME, np.uint8)
    codes[::1_000] = PARTIAL
    written(tmp_path, codes, np.ones((ROWS, 1), np.uint64), ("a",))
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir() if path.is_file()}
    assert sizes == {"codes": ROWS, "masks": 8 * -(-ROWS // 1_000)}


def test_masks_that_do_not_fit_the_codes_are_damaged(tmp_path: Path) -> None:
    codes = np.array([PARTIAL, SAME, PARTIAL], np.uint8)
    written(tmp_path, codes, np.ones((3, 1), np.uint64), ("a",))
    with open(tmp_path / MASKS, "ab") as file:
        file.write(bytes(8))
    with pytest.raises(DeltaDamaged, match="the file has 24 bytes, and had 16"):
        read_decisions(tmp_path, 3, ("a",))


PEAK = """
import sys
from pathlib import Path
import numpy as np
import polars as pl
from cio_etl.ledger.decision_files import DecisionWriter, read_decisions
from cio_etl.model import POSITION
from cio_etl.transform.decisions import PARTIAL

folder, rows, frame = Path(sys.argv[1]), int(sys.argv[2]), 100_000
writer = DecisionWriter(folder, rows, 1)
for start in range(0, rows, frame):
    writer.begin(np.arange(start, min(start + frame, rows)))
for start in range(0, 1_000):
    some = np.arange(start, rows, 1_000)[::100]
    codes = pl.Series("code", np.full(len(some), PARTIAL, np.uint8))
    writer.decide(pl.DataFrame({POSITION: some}).with_columns(codes), np.ones((len(some), 1), np.uint64))
writer.finish()
found, partial = read_decisions(folder, rows, ("a",)), 0
for start in range(0, rows, frame):
    here = pl.Series(range(start, min(start + frame, rows)), dtype=pl.Int64)
    those = here.filter(found.is_partial(here))
    partial += sum(int(flag.sum()) for flag in found.flags(those)[:1])
assert partial == sum(len(range(start, rows, 100_000)) for start in range(1_000)), partial
assert found.same == rows - partial
(line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(1024 * int(line.split()[1]))
"""


def test_the_memory_of_decisions_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Files that are mapped count, too: a byte for each row would be seen."""
    few, many = 2_000_000, 34_000_000
    peaks = []
    for rows in (few, many):
        folder = tmp_path / str(rows)
        folder.mkdir()
        done = subprocess.run([sys.executable, "-c", PEAK, str(folder), str(rows)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    assert (peaks[1] - peaks[0]) / (many - few) < 0.8, peaks
