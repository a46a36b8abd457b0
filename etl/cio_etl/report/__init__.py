"""What people read: the report on a terminal, as JSON and as a page, and the progress of a run while it runs."""

from cio_etl.report.files import mending, write_report, write_status
from cio_etl.report.progress import Progress
from cio_etl.report.terminal import show

__all__ = ["Progress", "mending", "show", "write_report", "write_status"]
