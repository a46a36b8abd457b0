"""Makes the plain form of a job file or a mapping: without `extends`, `vars`, `define` and `use`.

    read_yaml ─▶ the files that it extends ─▶ variables ─▶ named values and functions ─▶ sections, rules

Each value of the plain form remembers where it was written, so that a fault names that file and line.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from cio_etl.config.yaml_file import MAX_VALUES, Document, Loc, read_yaml
from cio_etl.errors import Problem, did_you_mean, did_you_mean_file

SHORTER = ("extends", "vars", "define")  # keys that the plain form does not have

_BY_NAME = {"attributes", "topics", "vars", "define", "destination", "destinations"}  # keys whose names are inherited
_REMOVABLE = {"attributes", "topics"}  # of these, a name without a value leaves out what the base has
_NOT_INHERITED = {"extends", "name", "schedule", "examples"}  # they are about one file
Level = Literal["top", "section", "names", "value"]  # what the keys of a mapping's part are; names are the user's own
_VERBATIM = {"value", "examples", "when_gone", "expect"}  # keys whose content is data

_VARIABLE = re.compile(r"\$\{vars\.([^{}]*)\}")


def read_document(path: Path) -> Document:
    """The plain form of a YAML file. It never raises: what is wrong is among the Document's problems."""
    document = read_yaml(path)
    if document.data is None or not _is_shorter(document.data):
        return document
    return _PlainForm(document).made()


def _is_shorter(data: Any) -> bool:
    """Whether a file uses a shorter form anywhere."""
    if isinstance(data, dict):
        return not data.keys().isdisjoint((*SHORTER, "use")) or any(map(_is_shorter, data.values()))
    if isinstance(data, list):
        return any(map(_is_shorter, data))
    return isinstance(data, str) and "${vars." in data


@dataclass(slots=True)
class _Written:
    """A value, and where it is written; members of lists and objects may be written elsewhere."""

    value: Any  # a dict or list has _Written members
    file: Document
    loc: Loc

    def plain(self) -> Any:
        if isinstance(self.value, dict):
            return {key: inner.plain() for key, inner in self.value.items()}
        if isinstance(self.value, list):
            return [inner.plain() for inner in self.value]
        return self.value

    def origins(self, at: Loc = ()) -> Iterator[tuple[Loc, tuple[Document, Loc]]]:
        yield at, (self.file, self.loc)
        if isinstance(self.value, dict | list):
            for key, inner in self.value.items() if isinstance(self.value, dict) else enumerate(self.value):
                yield from inner.origins((*at, key))


def _written(value: Any, file: Document, loc: Loc = ()) -> _Written:
    if isinstance(value, dict):
        return _Written({key: _written(inner, file, (*loc, key)) for key, inner in value.items()}, file, loc)
    if isinstance(value, list):
        return _Written([_written(inner, file, (*loc, place)) for place, inner in enumerate(value)], file, loc)
    return _Written(value, file, loc)


class _Unmade(Exception):
    """There is no plain form: whatever else is wrong would only follow from what is reported."""


@dataclass(slots=True)
class _PlainForm:
    """One file on its way to its plain form."""

    document: Document
    problems: list[Problem] = field(default_factory=list)
    refused: set[Loc] = field(default_factory=set)  # places in the plain form whose value is missing for a fault
    values: int = 0
    read_variables: set[str] = field(default_factory=set)

    def made(self) -> Document:
        try:
            return self._made()
        except _Unmade:
            lines, problems = self.document.lines, tuple(dict.fromkeys(self.problems))
            return Document(self.document.file, None, lines, problems)

    def _made(self) -> Document:
        root = self._extended(self.document, (os.path.realpath(self.document.file),))
        variables, definitions = (self._names(root, key) for key in ("vars", "define"))
        body = _Written({key: inner for key, inner in root.value.items() if key not in SHORTER}, root.file, root.loc)
        definitions = {name: self._with_variables(each, variables) for name, each in definitions.items()}
        body = self._with_variables(body, variables)
        if "steps" not in body.value:  # a job has no values
            body = self._with_uses(body, "top", definitions)
        elif "define" in root.value:
            self._fault(root.value["define"], "a job has no values that could use it; move it to a mapping")
        for name, variable in variables.items():
            if variable.file is self.document and name not in self.read_variables:
                others = [other for other in self.read_variables if other != name]
                self._fault(variable, f"nothing reads this variable; {did_you_mean(name, others, 'remove it')}")
        origins = dict(body.origins())
        marked = [(at, file, loc) for at, (file, loc) in origins.items()]
        return Document(
            self.document.file,
            body.plain(),
            self.document.lines,
            tuple(dict.fromkeys(self.problems)),
            frozenset({*self.refused, *(at for at, file, loc in marked if loc in file.refused)}),
            frozenset(at for at, file, loc in marked if loc in file.empty),
            origins,
        )

    def _fault(self, where: _Written, message: str) -> None:
        self.problems.append(where.file.problem(where.loc, message))

    def _stop(self, where: _Written, message: str) -> NoReturn:
        self._fault(where, message)
        raise _Unmade

    def _names(self, root: _Written, key: str) -> dict[str, _Written]:
        """The named values of a key."""
        written = root.value.get(key)
        if written is None:
            return {}
        if not isinstance(written.value, dict):
            self._stop(written, "must be names with values, as `name: value`")
        return dict(written.value)

    # ---- extends

    def _extended(self, document: Document, chain: tuple[str, ...]) -> _Written:
        """The file with what it inherits. `chain` has the paths of the files that lead here."""
        self.problems += document.problems
        this = _written(document.data or {}, document)
        extends = this.value.get("extends")
        if extends is None:
            return this
        base = self._base(extends, document, chain)
        return self._merged(self._extended(base, (*chain, os.path.realpath(base.file))), this)

    def _base(self, extends: _Written, document: Document, chain: tuple[str, ...]) -> Document:
        name = extends.value
        if not isinstance(name, str) or not name.strip() or "\0" in name or "://" in name:
            self._stop(extends, "must name a file, as base.yaml, which stands beside this one")
        path = Path(document.file).parent / name
        if (place := os.path.realpath(path)) in chain:
            files = [os.path.relpath(each) for each in (*chain[chain.index(place) :], place)]
            self._stop(extends, f"the files extend each other: {' → '.join(files)}; remove one extends:")
        if not path.is_file():
            advice = did_you_mean_file(str(path))
            here = advice if advice.startswith("did") else "the path starts at the folder of this file"
            self._stop(extends, f"no file {str(path)!r}; {here}")
        base = read_yaml(path)
        if base.data is None:
            self.problems += base.problems
            raise _Unmade
        return base

    def _merged(self, base: _Written, this: _Written) -> _Written:
        """What `this` inherits from `base`, and its own keys in place of those."""
        inherited = {key: value for key, value in base.value.items() if key not in _NOT_INHERITED}
        merged = dict(inherited)
        for key, own in this.value.items():
            theirs = inherited.get(key)
            if theirs is None:
                merged[key] = own
            elif key in _BY_NAME and isinstance(own.value, dict) and isinstance(theirs.value, dict):
                names = {**theirs.value, **own.value}
                gone = {name for name in theirs.value if key in _REMOVABLE and _is_empty(names[name])}
                left = {name: each for name, each in names.items() if name not in gone}
                merged[key] = _Written(left, own.file, own.loc)
            elif key in _BY_NAME and isinstance(own.value, dict):
                self._stop(theirs, "must be names with values, as `name: value`")
            else:
                merged[key] = own
        return _Written(merged, this.file, this.loc)

    # ---- vars

    def _with_variables(self, written: _Written, variables: Mapping[str, _Written]) -> _Written:
        """The value with its variables `${vars.name}` replaced."""
        self._count()
        value = written.value
        if isinstance(value, dict):
            for key, inner in value.items():
                if "${vars." in key:
                    self._fault(inner, "a variable cannot be a part of a key; write the key out")
            made: Any = {key: self._with_variables(inner, variables) for key, inner in value.items()}
        elif isinstance(value, list):
            made = [self._with_variables(inner, variables) for inner in value]
        elif isinstance(value, str) and "${vars." in value:
            made = self._replaced(written, value, variables)
        else:
            return written
        return _Written(made, written.file, written.loc)

    def _replaced(self, written: _Written, text: str, variables: Mapping[str, _Written]) -> Any:
        whole = _VARIABLE.fullmatch(text)
        if whole is not None:
            return self._variable(written, whole[1], variables)

        def part(match: re.Match[str]) -> str:
            value = self._variable(written, match[1], variables)
            variable = variables.get(match[1])
            if variable is not None and variable.loc in variable.file.respelt:
                what = (
                    f"a text that reads it would have {json.dumps(value)}; put it in quotes, so that it stays as it is"
                )
                self._fault(variable, what)
            return value if isinstance(value, str) else "" if value is None else json.dumps(value)

        replaced = _VARIABLE.sub(part, text)
        if "${vars." in replaced:
            self._fault(written, "a variable is written as ${vars.name}")
            self._refuse(written)
        return replaced

    def _variable(self, written: _Written, name: str, variables: Mapping[str, _Written]) -> str | int | float | None:
        """The value of a variable that a text reads; None if there is none."""
        self.read_variables.add(name)
        variable = variables.get(name)
        if variable is None:
            advice = did_you_mean(name, variables) if variables else f"write vars: {{{name}: …}}"
            self._fault(written, f"no variable {name!r}; {advice}")
        elif not isinstance(variable.value, str | int | float):
            what = "must be text, a number, true or false; a list of functions or a value is for define:"
            self._fault(variable, what)
        elif isinstance(variable.value, str) and "${vars." in variable.value:
            self._fault(variable, "a variable cannot be made of other variables; write its value out")
        else:
            value: str | int | float = variable.value
            return value
        self._refuse(written)
        return None

    def _refuse(self, written: _Written) -> None:
        """Notes that a value is missing, so that what only follows from it is no fault of its own."""
        written.file = _with_refused(written.file, written.loc)

    # ---- use

    def _with_uses(
        self, written: _Written, level: Level, definitions: Mapping[str, _Written], inside: tuple[str, ...] = ()
    ) -> _Written:
        """The value with `use: name` replaced by what the name stands for. `inside`: the names that lead here."""
        self._count()
        value = written.value
        if isinstance(value, list):
            items = [self._with_uses(inner, level, definitions, inside) for inner in value]
            return _Written(items, written.file, written.loc)
        if not isinstance(value, dict):
            return written
        if level == "value" and "use" in value:
            return self._used_value(written, definitions, inside)
        made = {}
        for key, inner in value.items():
            if level == "value" and key == "apply":
                made[key] = self._with_chain(inner, definitions, inside)
            elif level != "names" and key in _VERBATIM:
                made[key] = inner
            else:
                made[key] = self._with_uses(inner, _level_below(level, key), definitions, inside)
        return _Written(made, written.file, written.loc)

    def _used_value(self, written: _Written, definitions: Mapping[str, _Written], inside: tuple[str, ...]) -> _Written:
        own = {key: inner for key, inner in written.value.items() if key != "use"}
        missing = _Written(None, _with_refused(written.file, written.loc), written.loc)
        if (found := self._defined(written.value["use"], definitions, inside, is_chain=False)) is None:
            return missing
        name, definition = found
        used = self._with_uses(definition, "value", definitions, (*inside, name))
        if not isinstance(used.value, dict):
            return missing
        for key, inner in own.items():
            if key not in ("apply", "on_error", "nulls"):
                self._fault(inner, f"use: stands for a whole value; leave {key}: out, or write the value without use:")
        made = {**used.value, **{key: own[key] for key in ("on_error", "nulls") if key in own}}
        if "apply" in own:
            more = self._with_chain(own["apply"], definitions, inside)
            before = used.value.get("apply")
            calls = [*([] if before is None else _items(before)), *_items(more)]
            made["apply"] = _Written(calls, more.file, more.loc)
        return _Written(made, written.file, written.loc)

    def _with_chain(self, written: _Written, definitions: Mapping[str, _Written], inside: tuple[str, ...]) -> _Written:
        """The functions of `apply`, with those of a named chain in place of `{use: name}`."""
        if isinstance(written.value, dict) and written.value.keys() != {"use"}:
            return written
        calls: list[_Written] = []
        for call in _items(written):
            self._count()
            if not (isinstance(call.value, dict) and call.value.keys() == {"use"}):
                calls.append(call)
            elif (found := self._defined(call.value["use"], definitions, inside, is_chain=True)) is not None:
                name, definition = found
                calls += self._with_chain(definition, definitions, (*inside, name)).value
            else:
                calls.append(_Written(None, _with_refused(call.file, call.loc), call.loc))
        is_list = isinstance(written.value, list | dict)
        return _Written(calls, written.file, written.loc) if is_list else written

    def _defined(
        self, use: _Written, definitions: Mapping[str, _Written], inside: tuple[str, ...], *, is_chain: bool
    ) -> tuple[str, _Written] | None:
        """A definition by its name, of functions or of a value; None if there is none."""
        name = use.value
        if not isinstance(name, str):
            self._fault(use, "must be a name of define:")
        elif name not in definitions:
            advice = did_you_mean(name, definitions) if definitions else f"write define: {{{name}: …}}"
            self._fault(use, f"no definition {name!r}; {advice}")
        elif name in inside:
            cycle = " → ".join((*inside[inside.index(name) :], name))
            self._fault(use, f"the definitions use each other: {cycle}; write one of them out")
        elif not isinstance(definitions[name].value, dict | list):
            what = "must be a list of functions, as [trim, lower], or a value, as {column: plan}"
            self._fault(definitions[name], what)
        elif isinstance(definitions[name].value, list) != is_chain:
            how = (
                f"a value; write {{use: {name}}} without apply:"
                if is_chain
                else (f"functions; write {{column: name, apply: [{{use: {name}}}]}}")
            )
            self._fault(use, f"{name!r} stands for {how}")
        else:
            return name, definitions[name]
        return None

    def _count(self) -> None:
        self.values += 1
        if self.values > 2 * MAX_VALUES:
            root = _Written(None, self.document, ())
            self._stop(root, f"more than {MAX_VALUES:,} values with all that it extends and uses; make it smaller")


def _level_below(level: Level, key: str) -> Level:
    """What the keys are below a key."""
    if level == "names":
        return "value"
    if level == "value":
        return "names" if key == "object" else "value"
    if key in ("attributes", "topics"):
        return "names"
    return "section" if key in _SECTIONS else "value"


_SECTIONS = {"identifiers", "primary", "secondary", "object", "person", "device", "relationships"}


def _items(written: _Written) -> list[_Written]:
    return written.value if isinstance(written.value, list) else [written]


def _is_empty(written: _Written) -> bool:
    """Whether nothing is written after the key."""
    return written.value is None and written.loc in written.file.empty


def _with_refused(file: Document, loc: Loc) -> Document:
    return replace(file, refused=file.refused | {loc})
