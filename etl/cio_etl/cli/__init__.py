"""The command line: commands, options, what is printed, and the exit code. Results go to stdout, all else to stderr.

main.py       the group of all commands, and how a failure is printed
log.py        where log lines go, in which format
own_words.py  nothing but our own words reaches stderr
stopped.py        SIGTERM and SIGHUP end a command, and delete what it has copied
options.py    options, made from run/options.py or shared by several commands
complete.py   what a shell offers at the tab key
shared.py     what several commands do: find a state, start a run, print a report
commands.py   words the commands that a person may type next
source.py     the `source:` section of a source on the command line

run.py, replay.py, validate.py, verify.py, check.py, doctor.py, preview.py, status.py, rejects.py, inspect.py, init.py,
schema.py, sandbox.py, forget.py, notify.py, test.py, examples.py, presets.py, import_from.py, demo.py, new.py, ui.py,
completion.py    one command each
plan.py       plan, and apply

A command imports what it needs when it is called, so that each starts quickly.
"""

from cio_etl.cli import (
    check,
    completion,
    demo,
    doctor,
    examples,
    forget,
    import_from,
    init,
    inspect,
    new,
    notify,
    plan,
    presets,
    preview,
    rejects,
    replay,
    run,
    sandbox,
    schema,
    status,
    test,
    ui,
    validate,
    verify,
)
from cio_etl.cli.main import EXIT_CODES, cli, main

__all__ = [
    "EXIT_CODES",
    "check",
    "cli",
    "completion",
    "demo",
    "doctor",
    "examples",
    "forget",
    "import_from",
    "init",
    "inspect",
    "main",
    "new",
    "notify",
    "plan",
    "presets",
    "preview",
    "rejects",
    "replay",
    "run",
    "sandbox",
    "schema",
    "status",
    "test",
    "ui",
    "validate",
    "verify",
]
