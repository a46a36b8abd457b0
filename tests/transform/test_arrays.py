"""A few values have the same results without numpy and pyarrow, which nothing imports for them."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
from ruamel.yaml import YAML

from cio_etl.transform import ids
from cio_etl.transform.arrays import are_worthwhile
from cio_etl.transform.encode import needs_escapes
from cio_etl.transform.invisible import has_unseen
from tests.functions import mapped
from tests.transform.test_functions import COUNTRIES, examples

ROOT = Path(__file__).parents[2]

CALLS: dict[str, list[object]] = {
    '{"divide": 100}': ["1250", "-5", "0", None, "9" * 38, "-1e3", "0.1"],
    '{"multiply": 0.001}': ["1250", "-5", "0", None, "9" * 38, "12.5000"],
    '{"multiply": 1000}': ["1", "-5", "0", "9" * 37],
    '{"round": 0}': ["0.5", "-0.5", "9" * 26 + ".999999999999", "-" + "9" * 26 + ".5"],
    '{"round": 2}': ["0.005", "-1.234", "9" * 26 + ".999999999999"],
}
TEXTS = [
    "plain",
    "",
    None,
    'a "quote"',
    "back\\slash",
    "new\nline",
    "\x1f",
    "\x00",
    " é ",
    "a\u200bb",
    "\ufeff",
    "~\x7f",
]
TIMES = [0, 1_710_057_600, -1, 253_402_214_400, 2**62, None]
DIGESTS = ["0" * 64, "f" * 64, "0123456789abcdef" * 4, "fedcba9876543210" * 4, "a5" * 32, "0" * 64]


def results() -> dict[str, list[object]]:
    """What comes of each value where it is mapped alone."""
    texts = [pl.Series("c", [text], dtype=pl.String) for text in TEXTS]
    unseen = [text.to_frame().select(has_unseen(pl.col("c")).fill_null(False)).item() for text in texts]
    made: dict[str, list[object]] = {"escapes": [needs_escapes(text) for text in texts], "unseen": unseen}
    made["ids"] = [
        ids.ulids(pl.Series([at], dtype=pl.Int64), pl.Series([digest]))[0]
        for at, digest in zip(TIMES, DIGESTS, strict=True)
    ]
    for call, values in CALLS.items():
        made[call] = [str(mapped([value], json.loads(call), pl.String)[0]) for value in values]
    for row, raw, _ in (case.values for case in examples()):
        given = ast.literal_eval(row) if row.startswith("b") else json.loads(row)
        made[f"{row} | {raw}"] = [repr(mapped([given], YAML(typ="safe").load(raw)))]
    return made


def test_a_few_values_have_the_same_results_without_numpy_and_pyarrow() -> None:
    import pyarrow  # noqa: F401

    Path("countries.csv").write_text(COUNTRIES, encoding="utf-8")
    program = (
        f"import json, sys; sys.path.insert(0, {str(ROOT)!r}); from tests.transform.test_arrays import results;"
        "print(json.dumps(results())); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    made, loaded = done.stdout.splitlines()
    assert are_worthwhile(1) and not {"numpy", "pyarrow"} & {*loaded.split()}
    assert json.loads(made) == results()


def test_many_values_are_worth_the_import() -> None:
    program = "from cio_etl.transform.arrays import are_worthwhile; print(are_worthwhile(1), are_worthwhile(25_000))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
