"""The door: commands, options, what is printed, and the exit code. Results go to stdout, everything else to stderr.

door.py       the group of all commands, and what a failure looks like
options.py    parameters that several commands share
shared.py     what several commands do: load a job, find a state, show a report
sending.py    run, replay
looking.py    validate, check, doctor, preview, status, rejects
beginning.py  inspect, init, schema, sandbox

A command imports what it needs when it is called, so each starts as soon as it can.
"""

from cio_etl.cli import beginning, looking, sending  # their commands
from cio_etl.cli.main import EXIT_CODES, cli, main

__all__ = ["EXIT_CODES", "beginning", "cli", "looking", "main", "sending"]
