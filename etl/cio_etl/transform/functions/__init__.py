"""Functions of an `apply` list: FUNCTIONS, a record each, and the way from YAML to a call to an expression.

define.py       the decorator that makes a record of a Python function
calls.py        YAML to a call, a call to an expression
other files     the functions themselves, by subject

Every other file of this folder is imported here, which writes its functions into FUNCTIONS. To add a function, write
one decorated function in one of them, with its examples and, where it can reject a row, its reason. A new file says in
GROUP under which title its functions are listed.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import get_args

from cio_etl.transform.functions.calls import apply, is_no_text, meant_null, normalized, parse_call
from cio_etl.transform.functions.define import (
    FUNCTIONS,
    RAW_JSON,
    RAW_JSON_LIST,
    Function,
    Group,
    Parameter,
    kind_of,
    plain_text,
    text_of_json,
)

__all__ = [
    "FUNCTIONS",
    "GROUPS",
    "RAW_JSON",
    "RAW_JSON_LIST",
    "Function",
    "Parameter",
    "apply",
    "group_of",
    "is_no_text",
    "kind_of",
    "meant_null",
    "normalized",
    "parse_call",
    "plain_text",
    "text_of_json",
]

GROUPS: tuple[Group, ...] = get_args(Group)

_GROUP_OF_MODULE: dict[str, Group] = {
    module.__name__: module.GROUP
    for module_info in sorted(pkgutil.iter_modules(__path__), key=lambda module_info: module_info.name)
    if module_info.name not in ("calls", "define")
    for module in [import_module(f"{__name__}.{module_info.name}")]
}


def group_of(function: Function) -> Group:
    """The title under which a function is listed, one of GROUPS."""
    return _GROUP_OF_MODULE[function.build.__module__]
