"""Replaces references in texts by what they mean.

`${NAME}` is an environment variable, `${NAME:-default}` one that may be unset or empty, `${file:/run/secrets/key}` the
content of a file without its last line break. No message contains the value of a reference. What is empty and has no
default is an error: `${EXPORTS}/people.csv` must not become `/people.csv`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from cio_etl.config.text_file import UnreadableText, read_text
from cio_etl.errors import did_you_mean_file
from cio_etl.model import SECRET_OPTIONS
from cio_etl.model.sources import UNREAD_ADDRESS

MAX_FILE_BYTES = 65_536

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def resolve(text: str, environ: Mapping[str, str]) -> str:
    """The text with its references replaced once: a reference inside a value stays as it is.

    Raises ValueError with the remedy; it names variables and files, never their content.
    """
    if "${" in _REFERENCE.sub("", text):
        raise ValueError("`${` begins a reference: ${NAME}, ${NAME:-default} or ${file:/run/secrets/key}")
    return _REFERENCE.sub(lambda match: _value(match[1], environ), text)


def resolve_address(raw: str, environ: Mapping[str, str] | None) -> str:
    """The address of a database with its references replaced; those in its user part are percent-encoded.

    `environ` None: an address with references is not looked up, and becomes "unread://". Raises ValueError with the
    remedy, also for a password in plain text.
    """
    bare = _REFERENCE.sub("", raw)
    if re.search(r"://[^/@]*:[^/@]+@", bare) or _SECRET_OPTION.search(bare):
        raise ValueError(
            "a password in plain text; write a reference, as ${WAREHOUSE_URL} or "
            "postgresql://me:${PASSWORD}@host/db, and change the password"
        )
    if environ is None:
        return raw if bare == raw else UNREAD_ADDRESS
    start, at, rest = raw.rpartition("@")
    if "://" not in start:  # no user is named, or the whole address is one reference
        return resolve(raw, environ)
    scheme, _, user = start.partition("://")
    quoted = _REFERENCE.sub(lambda match: quote(_value(match[1], environ), safe=""), user)
    return f"{resolve(scheme, environ)}://{quoted}{at}{resolve(rest, environ)}"


_SECRET_OPTION = re.compile(rf"[?&]({'|'.join(sorted(SECRET_OPTIONS))})=[^&]+", re.IGNORECASE)


def resolve_secret(raw: object, environ: Mapping[str, str] | None) -> str:
    """A secret, which must be written as one reference and nothing else. `environ` None: only its form is checked.

    Raises ValueError with the remedy.
    """
    reference = _REFERENCE.fullmatch(raw) if isinstance(raw, str) else None
    if reference is None:
        raise ValueError(
            "secrets are references only: write ${NAME} or ${file:/run/secrets/key}, and replace a key that was "
            "written here"
        )
    if ":-" in reference[1] and not reference[1].startswith("file:"):
        raise ValueError("secrets are references only: a default would be a secret in plain text; leave it out")
    if environ is None:
        _well_formed(reference[1])
        return ""
    try:
        value = _value(reference[1], environ)
    except ValueError as error:  # a secret has no default
        raise ValueError(str(error).partition(", or give it a default")[0]) from None
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"{_subject(reference[1])} contains white space or characters that no key has; copy it again")
    return value


def _well_formed(inside: str) -> re.Match[str] | None:
    """The parts of a variable reference; None for a file. Raises ValueError for anything else."""
    if inside.startswith("file:") and len(inside) > len("file:"):
        return None
    if (match := _VARIABLE.fullmatch(inside)) is None:
        raise ValueError("not a reference; write ${NAME}, ${NAME:-default} or ${file:/run/secrets/key}")
    return match


def _value(inside: str, environ: Mapping[str, str]) -> str:
    variable = _well_formed(inside)
    if variable is None:
        content = read_file(Path(inside.removeprefix("file:"))).removesuffix("\n").removesuffix("\r")
        if not content:
            raise ValueError(f"{_subject(inside)} is empty; write the value into it")
        return content
    name, default = variable[1], variable[2]
    if value := environ.get(name, ""):
        return value
    if default is not None:
        return default
    if name in environ:
        fault = "is empty; set it, or unset it so that the value of an --env-file counts"
    else:
        fault = "is not set; set it, or name its file with --env-file"
    raise ValueError(f"{_subject(inside)} {fault}, or give it a default, ${{{name}:-…}}, if it is not a secret")


def read_file(path: Path, max_bytes: int = MAX_FILE_BYTES) -> str:
    """The text of a small file. Raises ValueError with the reason, without the content."""
    try:
        return read_text(path, max_bytes)
    except UnreadableText as error:
        what = {
            "unreadable": f"cannot be read: {error.reason}",
            "too_large": f"is larger than {max_bytes:,} bytes",
            "not_utf8": "is not UTF-8",
        }.get(error.fault)
        missing = f"no file {str(path)!r}; {did_you_mean_file(str(path))}"
        raise ValueError(f"the file {str(path)!r} {what}" if what else missing) from None


def _subject(inside: str) -> str:
    if inside.startswith("file:"):
        return f"the file {inside.removeprefix('file:')!r}"
    return f"the environment variable {inside}"
