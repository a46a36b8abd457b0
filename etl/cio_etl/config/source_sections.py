"""The `source:` section of a step: the keys of every kind of source in `model.sources`, put together."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import create_model, model_validator

from cio_etl.model import Source
from cio_etl.model.sources import KINDS, SourceKeys
from cio_etl.model.yaml_section import Section, wrong

_KINDS: dict[str, type[SourceKeys]] = {kind.kind(): kind for kind in KINDS}
_KINDS_OF_KEYS = {  # the kinds that have a key, besides their own
    key: tuple(name for name, kind in _KINDS.items() if key in kind.model_fields)
    for key in sorted({key for kind in KINDS for key in kind.model_fields} - _KINDS.keys())
}


class _Source(Section):
    """Where a step's rows come from."""

    not_offered: ClassVar = {
        **dict.fromkeys(("path", "file", "files"), "a file is named by its kind, as csv: people.csv"),
        **dict.fromkeys(("type", "format"), "the kind is the key itself, as csv: people.csv"),
        **{key: instead for kind in KINDS for key, instead in kind.not_offered.items()},
    }
    one_of = tuple(_KINDS)
    goes_with: ClassVar = _KINDS_OF_KEYS | {key: others for kind in KINDS for key, others in kind.goes_with.items()}

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        kinds = [kind for name, kind in _KINDS.items() if name in written]
        yield from _of_kinds(written, kinds)
        for kind in kinds:
            yield from kind.key_faults(written)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if faults := [fault for keys in self._kinds() for fault in keys.faults()]:
            raise wrong("\n".join(faults))
        return self

    def to_source(self) -> Source:
        return next(self._kinds()).to_source()

    def _kinds(self) -> Iterator[SourceKeys]:
        """The section as the keys of each kind that is written; one, unless `key_faults` reports a problem."""
        for name, kind in _KINDS.items():
            if getattr(self, name):
                values = {key: getattr(self, key) for key in kind.model_fields}
                yield kind.model_construct(self.model_fields_set & values.keys(), **values)


def _of_kinds(written: AbstractSet[str], kinds: list[type[SourceKeys]]) -> Iterator[str]:
    """What is wrong with the set of keys: no kind, several, or keys of another kind."""
    if len(kinds) != 1:
        yield f"write one of {', '.join(f'{name}:' for name in _KINDS)}"
    fitting = {key for kind in kinds for key in kind.model_fields}
    homes: dict[str, list[str]] = {}  # the keys that do not fit, by the kinds that they go with
    for key in sorted(written - fitting - _KINDS.keys()) if kinds else ():
        homes.setdefault(", ".join(f"{name}:" for name in _KINDS_OF_KEYS.get(key, ())), []).append(key)
    for home, keys in homes.items():
        yield f"{', '.join(keys)}: goes with {home} only; leave it out"


def _fields() -> dict[str, Any]:
    """Every kind's own key, and then the others; each field as pydantic's `create_model` takes it."""
    of_kinds = {name: kind.model_fields[name] for name, kind in _KINDS.items()}
    others = {key: field for kind in KINDS for key, field in kind.model_fields.items() if key not in of_kinds}
    return {key: (field.annotation, field) for key, field in (of_kinds | others).items()}


if TYPE_CHECKING:
    SourceYaml = _Source
else:
    SourceYaml = create_model("SourceYaml", __base__=_Source, __doc__=_Source.__doc__, **_fields())
