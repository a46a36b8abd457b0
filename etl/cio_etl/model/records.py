"""The decorator of frozen records: `dataclasses.dataclass(frozen=True, slots=True)`, made in a tenth of the time.

Python's decorator writes and compiles six methods for each class, 0.7 ms each time that a command starts, and most
records of the program are not used by most commands. Here the methods are shared by all records, and `__init__` is
compiled when the first record of a class is made. `fields`, `replace`, `asdict` and `pickle` know these records as they
know Python's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # whose rules the type checker knows
else:

    def dataclass(*, frozen, slots, eq=True, repr=True, kw_only=False):
        """The decorator of a frozen record, with arguments as Python's own has them."""
        assert frozen and slots, "other classes take the decorator of dataclasses"

        def made(cls):
            own = vars(cls)
            methods = {
                "__setattr__": _refuse,
                "__delattr__": _refuse,
                "__getstate__": _state,
                "__setstate__": _set_state,
            }
            methods |= {"__repr__": _repr} if repr else {}
            methods |= {"__eq__": _equal, "__hash__": _hash} if eq else {}
            missing = {name: method for name, method in methods.items() if own.get(name) is None}
            cls.__doc__ = cls.__doc__ or cls.__name__  # else Python's decorator writes the signature
            record = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
            for name, method in missing.items():
                setattr(record, name, method)
            if "__init__" not in own:
                record.__init__ = _first_init(record)
            record._compared = None
            return record

        return made


def _first_init(cls: Any) -> Callable[..., None]:
    """The `__init__` of a class of which no record was made yet: it makes the real one."""

    def __init__(self: Any, /, *values: Any, **named: Any) -> None:
        cls.__init__ = real = _compiled_init(cls)
        real(self, *values, **named)

    return __init__


def _compiled_init(cls: Any) -> Any:
    parameters, lines = ["self"], []
    known: dict[str, Any] = {"__set": object.__setattr__, "__missing": MISSING}
    for member in sorted(dataclasses.fields(cls), key=lambda member: bool(member.kw_only)):
        if member.kw_only and "*" not in parameters:
            parameters.append("*")
        name, value = member.name, member.name
        if member.default_factory is not MISSING:
            known[f"__of_{name}"] = member.default_factory
            value = f"__of_{name}() if {name} is __missing else {name}"
            parameters.append(f"{name}=__missing")
        elif member.default is not MISSING:
            known[f"__of_{name}"] = member.default
            parameters.append(f"{name}=__of_{name}")
        else:
            parameters.append(name)
        lines.append(f" __set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    exec(f"def __init__({', '.join(parameters)}):\n" + "\n".join(lines or [" pass"]), known)
    known["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    return known["__init__"]


def _compared(cls: Any) -> Callable[[Any], Any]:
    """What makes the tuple of the values of a record that are compared."""
    names = [member.name for member in dataclasses.fields(cls) if member.compare]
    cls._compared = attrgetter(*names, names[0]) if names else lambda record: ()  # one name alone makes no tuple
    return cls._compared  # type: ignore[no-any-return]


def _equal(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    values = self.__class__._compared or _compared(self.__class__)
    return values(self) == values(other)


def _hash(self: Any) -> int:
    return hash((self.__class__._compared or _compared(self.__class__))(self))


@recursive_repr("...")
def _repr(self: Any) -> str:
    shown = (f"{member.name}={getattr(self, member.name)!r}" for member in dataclasses.fields(self) if member.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _refuse(self: Any, name: str, value: object = None) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, member.name) for member in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for member, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, member.name, value)
