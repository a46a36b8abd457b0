"""Stores compiled templates beside them, in `__pycache__`, as Python does with modules: to compile a page takes 60 ms.

Where the folder is read-only, or PYTHONDONTWRITEBYTECODE is set, each process compiles the templates. What is stored
depends on the template, on jinja2 and on the settings of the environment alone: see `templates.environment`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import sys
import tempfile
from importlib.util import cache_from_source
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket, BytecodeCache

_DIGEST_BYTES = 32


class TemplateCache(BytecodeCache):
    """Compiled templates as files. jinja2 looks whether a file is of the template as it is now."""

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        """The file: `__pycache__/page.html.cpython-311.opt-jinja316.pyc`, of this Python and this jinja2."""
        assert filename is not None
        return cache_from_source(filename, optimization="jinja" + re.sub("[^0-9a-z]", "", jinja2.__version__.lower()))

    def get_bucket(self, environment: jinja2.Environment, name: str, filename: str | None, source: str) -> Bucket:
        """What is stored of a template that is compiled with these settings."""
        settings = environment.autoescape, environment.trim_blocks, environment.lstrip_blocks, environment.optimized
        return super().get_bucket(environment, name, filename, f"{settings} {source}")

    def load_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(Exception):  # a damaged file counts as none
            content = Path(bucket.key).read_bytes()
            digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
            if hashlib.sha256(code).digest() == digest:
                bucket.load_bytecode(io.BytesIO(code))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        kept, code = Path(bucket.key), bucket.bytecode_to_string()
        with contextlib.suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=kept.parent, prefix=f"{kept.name}.", delete=False) as part:
                written = Path(part.name)
                try:
                    part.write(hashlib.sha256(code).digest() + code)
                    part.close()
                    written.chmod(0o644)  # whoever can read the templates; a command's other files are private
                    written.replace(kept)
                except OSError:  # a full disk, or something else has the name
                    written.unlink(missing_ok=True)
