"""Replaces the references `${…}` in the data of a job, each as the mark of its key says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from cio_etl import apis
from cio_etl.config.job_sections import JobYaml
from cio_etl.config.keys import sections_in
from cio_etl.config.references import resolve, resolve_address, resolve_secret
from cio_etl.config.validation import Fault
from cio_etl.config.yaml_file import Loc
from cio_etl.model.yaml_section import References, Section

Environ = Mapping[str, str]


def resolve_job(
    data: dict[str, Any], environ: Environ, secrets: bool, sources: bool, root: type[Section] = JobYaml
) -> tuple[dict[str, Any], list[Fault]]:
    """The data with references replaced by their values, None where that failed; and what failed.

    Without `secrets`, the credentials of the destination and the address of the monitor are not looked up; without
    `sources`, nor are the databases' addresses and the keys of object stores. Those of `notify` never are: see
    channels_of. `root` is the section of the whole file.
    """
    destination = data.get("destination")
    unused = {
        ("destination", key)
        for api in apis.APIS.values()
        for key in api.credentials
        if not isinstance(destination, dict) or api is not apis.get(destination.get("api"))
    }
    faults: list[Fault] = []

    def walk(raw: Any, loc: Loc, section: type[Section] | None, mark: References | None) -> Any:
        if isinstance(raw, dict) and mark is not References.SECRET:
            return {key: walk(value, (*loc, key), *_field(section, key)) for key, value in raw.items()}
        if isinstance(raw, list) and mark is not References.SECRET:
            return [walk(value, (*loc, place), section, mark) for place, value in enumerate(raw)]
        looked_up = loc[0] == "state" or (sources if loc[0] == "steps" else secrets and loc not in unused)
        looked_up = looked_up and loc[0] != "notify"
        try:
            return _resolved(raw, mark, environ if looked_up else None, environ)
        except ValueError as error:
            faults.append((loc, str(error)))
            return None

    return {key: walk(value, (key,), *_field(root, key)) for key, value in data.items()}, faults


def _field(section: type[Section] | None, key: str) -> tuple[type[Section] | None, References | None]:
    """The section of the keys below a key, and the mark of its own text."""
    field = None if section is None else section.model_fields.get(key)
    if field is None:
        return None, None
    mark = next((part for part in field.metadata if isinstance(part, References)), None)
    return next(sections_in(field.annotation), None), mark


def _resolved(raw: Any, mark: References | None, known: Environ | None, environ: Environ) -> Any:
    """The value of a key. `known` None: the secret or address that its references mean is not looked up."""
    if mark is References.SECRET:
        return SecretStr(resolve_secret(raw, known))
    if not isinstance(raw, str):
        return raw
    if mark is References.ADDRESS:
        return resolve_address(raw, known)
    if mark is References.REFUSED and "${" in raw:
        raise ValueError("a reference inside a query would be read as SQL; give it under parameters: instead")
    return resolve(raw, environ)
