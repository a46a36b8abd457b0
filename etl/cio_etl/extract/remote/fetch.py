"""Fetches objects of a store, or files of the web, to this machine; messages use their remote names.

They are listed, then fetched with If-Match: an object that is replaced in between is an error, never half of each. A
resumed run finds the copies and sends the store no request.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import itertools
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.extract import copies
from cio_etl.extract.remote.storage import (
    Address,
    Patience,
    address,
    changed,
    needed,
    opened,
    reworded,
)
from cio_etl.extract.remote.web import download
from cio_etl.log import Thread, get_logger
from cio_etl.model import Snapshot, Staging, Storage, is_remote, shown
from cio_etl.model.records import dataclass

if TYPE_CHECKING:
    from cio_etl.extract.remote.storage import Store

log = get_logger()

RULES = "objects 1"  # part of a copy's name: raise it when older copies cannot be used

_AT_ONCE = 6
_BLOCK_BYTES = 1 << 20
_ENDING = re.compile(r"(\.[A-Za-z0-9]{1,12}){1,2}\Z")
# What a signature adds to an address; with another signature the rows are the same.
_SIGNATURE = re.compile(
    r"(x-amz|x-goog)-.*|signature|expires|policy|key-pair-id|awsaccesskeyid|googleaccessid|sig|se|st|sp|sv|sr|spr|sk\w+",
    re.IGNORECASE,
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Fetched:
    """Remote files as files of this machine, in the order of their remote names."""

    paths: tuple[str, ...]
    names: Mapping[str, str]  # the remote name of each path


@dataclass(frozen=True, slots=True)
class _Object:
    """One object of the listing."""

    name: str  # for messages
    path: str  # in its bucket, or the whole address of a file of the web
    bytes: int | None
    etag: str | None
    store: Store | None = None  # None: of the web


def open_remote(
    paths: Sequence[str],
    storage: Storage | None,
    staging: Staging,
    open_local: Callable[[tuple[str, ...]], Snapshot],
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> Snapshot:
    """The snapshot that `open_local` makes of the paths' copies, under their own names.

    Raises SourceError, SourceRefused, SourceUnreachable; StateError when there is no room for the copies.
    """
    copy = fetched(paths, storage, staging, patience)
    folder = Path(copy.paths[0]).parent
    with in_their_names(copy.names):
        try:
            return replace(renamed(open_local(copy.paths), copy.names), copy=folder)
        except SourceError:
            if staging.may_read:  # the next run fetches the files again, when they are fixed
                copies.invalidate(folder)
            raise


def fetched(
    paths: Sequence[str],
    storage: Storage | None,
    staging: Staging,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> Fetched:
    """The files that addresses and patterns name, each once, fetched into the staging's folder unless they are there.

    Always whole files. Raises as `open_remote` does.
    """
    folder = staging.folder / _copy_name(paths, storage)
    if (there := _whole(folder)) is not None:
        return there
    place = shown(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    if not staging.may_read:
        raise copies.copy_missing(place)
    copies.begin(folder)
    stopped = threading.Event()
    objects = _apart(lambda: _fetch(paths, storage, folder, patience, stopped), stopped)
    copies.end(folder, {"objects": objects})
    log.info("objects_fetched", source=place, objects=len(objects), bytes=sum(each["bytes"] for each in objects))
    whole = _whole(folder)
    assert whole is not None
    return whole


def _copy_name(paths: Sequence[str], storage: Storage | None) -> str:
    """The folder of the copies: the same for the same files, whatever keys and signatures are used."""
    where = storage or Storage()
    settings = [RULES, sorted(map(_unsigned, paths)), where.endpoint, where.region]
    return f"objects-{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]}"


def _unsigned(path: str) -> str:
    if not is_remote(path) or not path.lower().startswith("http"):
        return path
    query = parse_qsl(urlsplit(path).query, keep_blank_values=True)
    return json.dumps([shown(path), [pair for pair in query if not _SIGNATURE.fullmatch(pair[0])]])


def _whole(folder: Path) -> Fetched | None:
    """The copy, if it is complete and every file has its size."""
    manifest = copies.manifest_of(folder)
    if manifest is None:
        return None
    names: dict[str, str] = {}
    with suppress(OSError):
        for each in manifest["objects"]:
            path = folder / each["file"]
            if path.stat().st_size != each["bytes"]:
                return None
            names[str(path)] = each["name"]
        return Fetched(tuple(names), names)
    return None


# ---------------------------------------------------------------- fetching, in threads


def _apart(work: Callable[[], _T], stopped: threading.Event) -> _T:
    """The result of the work, done in a thread: a signal interrupts the wait, and the thread blocks no exit."""
    given: Future[_T] = Future()

    def run() -> None:
        try:
            given.set_result(work())
        except BaseException as error:  # any error is raised in the waiting thread
            given.set_exception(error)

    thread = Thread(target=run, name="fetcher", daemon=True)
    thread.start()
    try:
        return given.result()
    finally:
        stopped.set()
        thread.join(1.0)


def _fetch(
    paths: Sequence[str], storage: Storage | None, folder: Path, patience: Patience, stopped: threading.Event
) -> list[dict[str, Any]]:
    """Fetches everything; returns the name, file, size and etag of each object."""
    objects = _objects(paths, storage, patience)
    copy = secrets.token_hex(4)  # in the files' names, so that files of two copies are never confused
    done: list[dict[str, Any]] = [{} for _ in objects]
    numbers, errors = itertools.count(), list[BaseException]()

    def run() -> None:
        while not stopped.is_set() and (number := next(numbers)) < len(objects):
            try:
                done[number] = _fetch_one(objects[number], folder / f"{number:06}-{copy}", patience, stopped)
            except BaseException as error:
                errors.append(error)
                stopped.set()

    threads = [Thread(target=run, name="fetcher", daemon=True) for _ in objects[:_AT_ONCE]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return done


def _fetch_one(each: _Object, to: Path, patience: Patience, stopped: threading.Event) -> dict[str, Any]:
    name = each.path.rpartition("/")[2] if each.store is not None else urlsplit(each.path).path
    ending = _ENDING.search(name)
    path = to.with_name(to.name + (ending[0] if ending else ""))
    written, etag = 0, each.etag
    with copies.on_disk(to.parent), copies.created(path) as file:
        if each.store is None:
            came = download(each.path, file, patience, stopped)
            written, etag = came.bytes, came.etag
        else:
            for block in blocks(each.store, each.path, each.name, each.etag):
                if stopped.is_set():
                    break
                file.write(block)
                written += len(block)
    if each.bytes is not None and written != each.bytes and not stopped.is_set():
        raise changed(each.name)
    log.debug("object_fetched", object=each.name, bytes=written, etag=etag)
    return {"name": each.name, "file": path.name, "bytes": written, "etag": etag}


def blocks(store: Store, path: str, name: str, etag: str | None) -> Iterator[bytes]:
    """The object's bytes, if it still has this etag. Errors of the store are raised as EtlError."""
    options: Any = None if etag is None else {"if_match": etag}
    with reworded(name):
        yield from needed("obstore", "storage", name).get(store, path, options=options).stream(_BLOCK_BYTES)


# ---------------------------------------------------------------- listing


def _objects(paths: Sequence[str], storage: Storage | None, patience: Patience) -> list[_Object]:
    """The objects that the paths name, sorted by name, each once."""
    objects: dict[str, _Object] = {}
    for path in paths:
        if not is_remote(path):
            raise SourceError("make them two steps", place=path, what="local and remote paths do not go together")
        at = address(path)
        if at.of_web:
            objects[path] = _Object(shown(path), path, None, None)
        else:
            objects |= {each.name: each for each in _of_store(at, path, opened(at, storage, patience))}
    return sorted(objects.values(), key=lambda each: (each.name, each.path))


def _of_store(at: Address, path: str, store: Store) -> list[_Object]:
    place = shown(path)
    if not at.key or at.key.endswith("/"):
        raise SourceError(f"name its files, like {place.rstrip('/')}/*", place=place, what="is a folder, not a file")
    with reworded(place):
        metas: list[Any] = list(_matching(at.key, store)) if glob.has_magic(at.key) else [store.head(at.key)]
    if not metas:
        raise SourceError("look at the bucket's names; * stays in its folder", place=place, what="no object matches")
    if any(not meta["e_tag"] for meta in metas):
        raise SourceError(
            "look at `storage: endpoint`; if it is right, copy the files here",
            place=place,
            what="the server gives no ETag, so a change could not be noticed",
        )
    return [
        _Object(f"{at.root}/{meta['path']}", meta["path"], meta["size"], _strong(meta["e_tag"]), store)
        for meta in metas
    ]


def _strong(etag: str) -> str:
    """The etag in the form of requests: Azure lists etags without their quotes."""
    return etag if etag.startswith(('"', "W/")) else f'"{etag}"'


def _matching(pattern: str, store: Store) -> Iterator[Any]:
    """The objects that match a pattern; an object whose name equals the pattern is the only match."""
    prefix = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
    wanted = [None if part == "**" else _translated(part) for part in pattern.split("/")]
    matching = []
    for page in store.list(prefix or None, chunk_size=1000):
        for meta in page:
            if meta["path"] == pattern:
                return iter([meta])
            if _fits(wanted, meta["path"].split("/")):
                matching.append(meta)
    return (meta for meta in matching if meta["size"] or _is_object(store, meta["path"]))


def _translated(part: str) -> re.Pattern[str]:
    """One name's pattern: as on this machine, only a dot means a dot at the beginning."""
    return re.compile(("" if part.startswith(".") else r"(?!\.)") + fnmatch.translate(part))


def _fits(wanted: Sequence[re.Pattern[str] | None], parts: Sequence[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] is None:  # ** matches any number of folders; at the end, everything in them
        rest = range(len(parts) + 1) if len(wanted) > 1 else range(len(parts), len(parts) + 1)
        return any(_fits(wanted[1:], parts[count:]) and _open(parts[:count]) for count in rest)
    return bool(parts) and wanted[0].match(parts[0]) is not None and _fits(wanted[1:], parts[1:])


def _open(parts: Sequence[str]) -> bool:
    return not any(part.startswith(".") for part in parts)


def _is_object(store: Store, path: str) -> bool:
    """False for a folder's marker: it is listed without its slash, and there is nothing of that name."""
    try:
        store.head(path)
    except FileNotFoundError:
        return False
    return True


# ---------------------------------------------------------------- names


def renamed(snapshot: Snapshot, names: Mapping[str, str]) -> Snapshot:
    """The snapshot with other names for its files: in `files`, in `locate`, in errors while it is read."""

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        with in_their_names(names):
            yield from snapshot.read(columns, start)

    def locate(positions: Sequence[int]) -> list[tuple[str, int]]:
        with in_their_names(names):
            return [(names.get(path, path), line) for path, line in snapshot.locate(positions)]

    files = tuple(replace(file, path=names.get(file.path, file.path)) for file in snapshot.files)
    return replace(snapshot, files=files, read=read, locate=locate)


@contextmanager
def in_their_names(names: Mapping[str, str]) -> Iterator[None]:
    """Replaces the local path in a SourceError by the remote name."""

    def put(text: object) -> object:
        if isinstance(text, str):
            for path, name in names.items():
                text = text.replace(path, name)
        return text

    try:
        yield
    except SourceError as error:
        facts = {key: put(value) for key, value in error.facts.items()}
        raise SourceError(str(put(error.remedy)), **facts) from None
