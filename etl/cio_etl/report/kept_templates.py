"""Keeps compiled templates beside them, in `__pycache__`, as Python keeps its modules: to compile a page takes 60 ms.

Where the folder is read-only, or PYTHONDONTWRITEBYTECODE is set, each process compiles the templates.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.util import cache_from_source
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket, BytecodeCache


class KeptTemplates(BytecodeCache):
    """Compiled templates as files. jinja2 looks whether a file is of the template as it is now."""

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """The file: `__pycache__/page.html.cpython-311.opt-jinja316.pyc`, of this Python and this jinja2."""
        assert filename is not None
        return cache_from_source(filename, optimization=f"jinja{jinja2.__version__.replace('.', '')}")

    def load_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(Exception), open(bucket.key, "rb") as file:  # a damaged file counts as none
            bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        kept = Path(bucket.key)
        with contextlib.suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_name(f"{kept.name}.{os.getpid()}")
            part.write_bytes(bucket.bytecode_to_string())
            part.chmod(0o644)  # whoever can read the templates; a command's other files are private
            part.replace(kept)
