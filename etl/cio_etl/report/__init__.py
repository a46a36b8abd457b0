"""Shows a run to people: the report on a terminal, as JSON and as a page, and the progress while it runs.

The names load when they are used: the command line needs this room's streams and logs before it needs any report.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.report.commands import NO_COMMANDS, Commands
    from cio_etl.report.files import as_json, write_report, write_status, write_status_json
    from cio_etl.report.observer import Callback, Observer, StepProgress

_FILES = {
    "commands": ("NO_COMMANDS", "Commands"),
    "files": ("as_json", "write_report", "write_status", "write_status_json"),
    "observer": ("Callback", "Observer", "StepProgress"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

__all__ = [
    "NO_COMMANDS",
    "Callback",
    "Commands",
    "Observer",
    "StepProgress",
    "as_json",
    "write_report",
    "write_status",
    "write_status_json",
]


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
