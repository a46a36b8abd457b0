"""Change records: rows of which a column says what is to be done, as change data capture writes them.

Such a mapping has the parts of all its operations. What one operation takes of it is a mapping of that operation alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from cio_etl.apis.operations import OPERATIONS, Operation
from cio_etl.model import Mapping

OPERATION = "operation"  # the target that says what is done with a row


def main_operation(names: Sequence[str]) -> str:
    """The operation that has the most parts; the mapping counts as one of it where one is needed."""
    return max(names, key=lambda name: len(OPERATIONS[name].needs) + len(OPERATIONS[name].may))


def combined(names: Sequence[str]) -> Operation:
    """The parts of all these operations, as one operation; what all of them need is needed."""
    several = [OPERATIONS[name] for name in names]
    needs = tuple(dict.fromkeys(part for each in several for part in each.needs))
    may = tuple(dict.fromkeys(part for each in several for part in each.may if part not in needs))
    kinds = tuple(kind for kind in several[0].kinds if all(kind in each.kinds for each in several))
    return replace(OPERATIONS[main_operation(names)], needs=needs, may=may, kinds=kinds)


def not_combined(names: Sequence[str]) -> str:
    """Why these operations cannot be those of one mapping, and what to do; "" when they can."""
    for name in names:
        if "segment" in OPERATIONS[name].needs or "primary" in OPERATIONS[name].needs:
            return f"{name} cannot be combined with other operations; write a mapping of its own"
    one = names[0]
    for name in names:
        if _about(name) != _about(one):
            return f"{one} and {name} are about different things; write a mapping for each"
    return ""


def _about(name: str) -> tuple[str, bool]:
    operation = OPERATIONS[name]
    return operation.nouns[0], "object" in operation.needs


def of_operation(mapping: Mapping, name: str) -> Mapping:
    """The mapping of the rows that have this operation, with those parts that it takes."""
    operation = OPERATIONS[name]

    def takes(target: str) -> bool:
        if not operation.allows(target.partition(".")[0].partition("[")[0]):
            return False
        if name.startswith("delete_") and target.startswith(("device.", "relationships[")):
            return target == "device.token" or (not target.startswith("device.") and ".attributes." not in target)
        return True

    targets = {target: value for target, value in mapping.targets.items() if takes(target)}
    return replace(mapping, operation=name, operations=(), targets=targets)


def each_operation(mapping: Mapping) -> Iterator[Mapping]:
    """The mapping of each operation of change records; of any other mapping, itself."""
    for name in mapping.operations:
        yield of_operation(mapping, name)
    if not mapping.operations:
        yield mapping
