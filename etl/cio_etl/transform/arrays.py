"""numpy and pyarrow, imported when a name of theirs is first used.

To import them takes a tenth of a second of CPU time. `status` maps no rows, and `check` only those of examples: a few
values take another way, which needs neither, as long as nothing has imported them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
else:

    class _Library:
        """A library by its name. What was used once is an attribute, and found as quickly as in the library itself."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            value = getattr(import_module(self._name), name)
            setattr(self, name, value)
            return value

    np, pa = _Library("numpy"), _Library("pyarrow")

__all__ = ["are_worthwhile", "np", "pa"]

_FEW = 100


def are_worthwhile(values: int) -> bool:
    """Whether numpy and pyarrow are imported already, or so many values gain more by them than the import takes."""
    return values > _FEW or "pyarrow" in sys.modules
