"""A page of runs for a browser, over the state: read-only, without scripts or styles from elsewhere.

server.py           the server, on one address, until a signal
app.py              which page answers each path
guard.py            who may read: names, the token, the headers of every answer
pages.py            what each page says
site.py             gathers it: state, job files, files of runs
nights.py           the last runs of a job as a strip, with those that are missing
open_rejects.py     open rejects over all runs; refreshed.py holds what takes long to count
rejected_rows.py    rejected rows with masked cells
plan_files.py       plans in the state's folder, or beside it
job_files.py        schedules and steps, from job files
chart.py            throughput as bars
sandbox_view.py     figures, people and events of a running sandbox, masked
live.py             tells open pages that the state has changed; live.js shows it
commands.py         the commands to copy, which the command line words
render.py           the templates, which extend those of the reports
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.ui.app import make_app
    from cio_etl.ui.commands import PageCommands
    from cio_etl.ui.guard import Access
    from cio_etl.ui.job_files import JobFiles
    from cio_etl.ui.pages import Pages
    from cio_etl.ui.sandbox_view import SandboxReader
    from cio_etl.ui.server import PageServer
    from cio_etl.ui.site import Site

_FILE_OF = {
    "Access": "guard",
    "JobFiles": "job_files",
    "PageCommands": "commands",
    "PageServer": "server",
    "Pages": "pages",
    "SandboxReader": "sandbox_view",
    "Site": "site",
    "make_app": "app",
}

__all__ = ["Access", "JobFiles", "PageCommands", "PageServer", "Pages", "SandboxReader", "Site", "make_app"]


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
