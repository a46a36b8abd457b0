"""Addresses, keys and errors of object stores, which are read with obstore.

obstore's messages have signed addresses, bodies of answers and settings, so none of them is ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from datetime import timedelta
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cio_etl.errors import EtlError, SourceError, SourceRefused, SourceUnreachable, install
from cio_etl.model import Storage, address_parts, shown
from cio_etl.model.records import dataclass

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

    Store = S3Store | GCSStore | AzureStore

_STORES = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "abfs": "abfs", "abfss": "abfss"}
_WEB = ("https", "http")

LONGEST_DOWNLOAD = timedelta(days=2)  # without it obstore ends every request, its body included, after 30 s


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long a request is repeated when a store does not answer, or is not available."""

    retries: int = 8
    retry_s: float = 180.0
    first_wait_s: float = 0.2
    longest_wait_s: float = 10.0
    connect_s: float = 10.0
    read_s: float = 60.0  # without a single byte


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a remote path."""

    scheme: str
    root: str = field(repr=False)  # scheme and bucket, or container; for az:// the account is in the settings
    key: str = field(repr=False)  # of an object, or a pattern; "" for the bucket itself

    @property
    def of_web(self) -> bool:
        return self.scheme in _WEB


def address(path: str) -> Address:
    """The parts of the remote path. Raises SourceError for an invalid one."""
    parts = address_parts(path)
    assert parts is not None
    scheme, authority, rest = parts[0].lower(), parts[1], parts[2]
    if scheme in _WEB:
        if scheme == "http" and urlsplit(path).hostname not in ("127.0.0.1", "localhost", "::1"):
            raise SourceError("write https://", place=shown(path), what="http:// would show the rows on the way")
        return Address(scheme, path, "")
    if scheme not in _STORES:
        raise SourceError(
            "write s3://, gs://, az://, abfss:// or https://, or copy the file to this machine",
            place=shown(path),
            what=f"nothing here reads {scheme}://",
        )
    if not authority or ("@" in authority and not scheme.startswith("abfs")):
        raise SourceError(
            f"write {scheme}://bucket/name; keys belong into `storage:`",
            place=shown(path),
            what="names no bucket" if not authority else "has a user or password in its address",
        )
    key = rest.removeprefix("/")
    if any(part in ("", ".", "..") for part in key.removesuffix("/").split("/") if key):
        raise SourceError("name its folders", place=shown(path), what="has //, /./ or /../ in its name")
    return Address(scheme, f"{_STORES[scheme]}://{authority}", key)


def needed(package: str, extra: str, place: str) -> ModuleType:
    """The package's module, imported only where a source needs it. Raises SourceError when it is not installed."""
    try:
        return import_module(package)
    except ImportError:
        what = f"the package {package.split('.')[0]} is not installed"
        raise SourceError(install(extra), place=place, what=what) from None


def opened(at: Address, storage: Storage | None, patience: Patience) -> Store:
    """The bucket of the address. Raises SourceError for settings that do not fit."""
    storage, place = storage or Storage(), shown(at.root)
    stores = needed("obstore.store", "storage", place)
    _check(storage, at, place)
    settings, provider = _keys(storage, at, place)
    if storage.endpoint is not None:
        settings["endpoint"] = storage.endpoint
    options: dict[str, Any] = {
        "timeout": LONGEST_DOWNLOAD,
        "connect_timeout": timedelta(seconds=patience.connect_s),
        "read_timeout": timedelta(seconds=patience.read_s),
        "allow_http": _may_be_plain(storage),
    }
    retries = {
        "max_retries": patience.retries,
        "retry_timeout": timedelta(seconds=patience.retry_s),
        "backoff": {
            "init_backoff": timedelta(seconds=patience.first_wait_s),
            "max_backoff": timedelta(seconds=patience.longest_wait_s),
            "base": 2,
        },
    }
    given = {} if provider is None else {"credential_provider": provider}
    with reworded(place):
        store: Store = stores.from_url(at.root, config=settings, client_options=options, retry_config=retries, **given)
    return store


def table_options(at: Address, storage: Storage | None) -> dict[str, str]:
    """The same settings for libraries that use obstore's names with the prefix `aws_`, as texts."""
    storage, place = storage or Storage(), shown(at.root)
    _check(storage, at, place)
    settings, provider = _keys(storage, at, place)
    prefix = {"s3": "aws_", "gs": "google_"}.get(at.scheme.removesuffix("a"), "azure_storage_")
    if provider is not None:
        lent = provider()  # valid for some minutes at least; only the table's log is read with it
        region = getattr(provider, "config", {}).get("region")
        settings |= {"access_key_id": lent["access_key_id"], "secret_access_key": lent["secret_access_key"]}
        settings |= {"session_token": lent["token"]} if lent.get("token") else {}
        settings |= {"region": region} if region and "region" not in settings else {}
    options = {f"{prefix}{name}": str(value) for name, value in settings.items()}
    if storage.anonymous:
        options[f"{prefix}skip_signature"] = "true"
    if storage.endpoint is not None:
        options["aws_endpoint_url" if prefix == "aws_" else f"{prefix}endpoint"] = storage.endpoint
    return options | {"allow_http": str(_may_be_plain(storage)).lower()}


def _may_be_plain(storage: Storage) -> bool:
    """Whether requests may be sent without TLS: to an http:// endpoint, of the job or of the environment."""
    return not (storage.endpoint or "").startswith("https://")


def _check(storage: Storage, at: Address, place: str) -> None:
    if storage.endpoint is not None and not re.match(r"https?://[^/@\s]+", storage.endpoint):
        raise SourceError("write it as https://host:port", place=place, what="storage: endpoint is not an address")
    if (storage.access_key_id is None) != (storage.secret_access_key is None):
        raise SourceError("write both", place=place, what="storage: access_key_id and secret_access_key go together")
    of_aws = at.root.startswith("s3:")
    only_s3 = [name for name in ("region", "profile") if getattr(storage, name) is not None]
    if only_s3 and not of_aws:
        raise SourceError("leave it out", place=place, what=f"storage: {only_s3[0]} goes with s3:// only")
    if at.scheme == "gs" and (storage.access_key_id or storage.endpoint):
        raise SourceError(
            "set GOOGLE_APPLICATION_CREDENTIALS to the service account's file",
            place=place,
            what="storage: keys and endpoint do not go with gs://",
        )


def _keys(storage: Storage, at: Address, place: str) -> tuple[dict[str, Any], Any]:
    """The settings with the keys, or a provider of keys. Neither: obstore finds them itself."""
    settings: dict[str, Any] = {} if storage.region is None else {"region": storage.region}
    if storage.anonymous:
        return settings | {"skip_signature": True}, None
    if storage.access_key_id is not None and storage.secret_access_key is not None:
        named = ("access_key_id", "secret_access_key") if at.root.startswith("s3:") else ("account_name", "account_key")
        keys = (storage.access_key_id.get_secret_value(), storage.secret_access_key.get_secret_value())
        return settings | dict(zip(named, keys, strict=True)), None
    return settings, _lender(storage.profile, place) if at.root.startswith("s3:") else None


def _lender(profile: str | None, place: str) -> Any:
    """boto3's chain of keys: environment, profiles, single sign-on, roles. None without boto3."""
    try:
        boto3 = import_module("boto3")
        lenders = import_module("obstore.auth.boto3")
    except ImportError:
        if profile is None:
            return None
        raise SourceError(install("aws"), place=place, what="storage: profile needs the package boto3") from None
    try:
        return lenders.Boto3CredentialProvider(boto3.Session(profile_name=profile))
    except Exception:  # botocore has many, and their words show files and values
        if profile is None:
            return None
        what = f"the profile {profile!r} is not in ~/.aws, or holds no keys"
        raise SourceError("fix it, or name another one with storage: profile", place=place, what=what) from None


# ---------------------------------------------------------------- errors

_STATUS = re.compile(r"status code[^<]{0,60}?\b(\d{3})\b")


@contextmanager
def reworded(place: str) -> Iterator[None]:
    """Raises an EtlError without their words in place of errors of the store, or of obstore."""
    try:
        yield
    except (EtlError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of obstore's is a BaseException
        raise complaint(place, error) from None


def complaint(place: str, error: BaseException) -> EtlError:
    """The EtlError for an error that a request for `place` raised."""
    kind, words = type(error).__name__, str(error)
    match = _STATUS.search(words)
    status = int(match[1]) if match else 0
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or status in (401, 403):
        return SourceRefused(
            "renew the keys in `storage:`, or grant them reading and listing of the bucket", place=place
        )
    if kind == "PreconditionError" or status == 412 or "precondition fail" in words:
        return changed(place)
    if isinstance(error, FileNotFoundError):
        return SourceError(
            "if it is a folder, name its files, like …/*.csv", place=place, what="there is no object of this name"
        )
    if status == 404:
        return SourceError("look at its name, and at `storage: endpoint`", place=place, what="there is no such bucket")
    if kind == "InvalidPathError":
        return SourceError(
            "name a folder that holds none", place=place, what="an object has an empty folder in its name, as in a//b"
        )
    if "redirect without LOCATION" in words:
        return SourceError(
            "write `storage: {region: …}`, or set AWS_REGION", place=place, what="the bucket is in another region"
        )
    return SourceUnreachable(
        "look at `storage:` and the network, and run the same command again", place=place, what=_what(words, status)
    )


def changed(place: str) -> SourceError:
    """The error for an object that was replaced after it was listed."""
    return SourceError(
        "wait until its writer has finished, and run the same command again",
        place=place,
        what="changed while being read",
    )


def _what(words: str, status: int) -> str:
    if status:
        return f"it answers with HTTP {status}"
    for sign, what in _SIGNS.items():
        if sign in words:
            return what
    return "it does not answer as an object store does"


_SIGNS = {
    "169.254.": "no keys are given, and this machine has no role that would lend some",
    "metadata.google": "no keys are given, and this machine has no role that would lend some",
    "kind: Timeout": "no answer in time",
    "kind: Connect": "no connection",
    "error sending request": "no connection",
    "error decoding response body": "the connection was cut",
}
