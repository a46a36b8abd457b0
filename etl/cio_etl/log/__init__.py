"""What the program writes while it works: log events, lines on stderr, screens that survive any text, temporary files.

events.py    the log of each module, which is silent until the application sets one up
threads.py   threads whose events say which run, step and lane they are about
lines.py     where the lines of a command's log go
streams.py   stdout and stderr that take any text, and may be closed
visible.py   texts without characters that move a terminal's cursor or hide something
consoles.py  rich's consoles, with both
temporary.py folders that are deleted when a command ends
"""

from cio_etl.log.events import about, before_next_event, get_logger
from cio_etl.log.threads import Thread

__all__ = ["Thread", "about", "before_next_event", "get_logger"]
