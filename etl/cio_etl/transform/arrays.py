"""numpy and pyarrow, imported when a name of theirs is first used.

To import them takes a tenth of a second of CPU time, and `status`, `check` and `test` map no rows, or a few only.
"""

from __future__ import annotations

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

__all__ = ["np", "pa"]
