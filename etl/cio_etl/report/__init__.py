"""Shows a run to people: the report on a terminal, as JSON and as a page, and the progress while it runs."""

from cio_etl.report.commands import NO_COMMANDS, Commands
from cio_etl.report.files import as_json, write_report, write_status
from cio_etl.report.observer import Callback, Observer, StepProgress

__all__ = ["NO_COMMANDS", "Callback", "Commands", "Observer", "StepProgress", "as_json", "write_report", "write_status"]
