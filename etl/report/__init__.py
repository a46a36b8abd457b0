"""What people read: the report on a terminal and as JSON, and the progress of a run while it runs."""

from etl.report.files import write_report
from etl.report.progress import Progress
from etl.report.terminal import show

__all__ = ["Progress", "show", "write_report"]
