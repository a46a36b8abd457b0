"""The map of the package: which room answers which question. Read `run.py` first; it is the whole program in short.

    run.py          the straight line: a job's rows, from where they lie to what Customer.io answered

What every room speaks:

    errors.py       every way to fail, who must act, and the exit code
    model.py        the words: frozen records that pass from one room to another
    sources.py      those of where rows come from

Decisions, without effects:

    transform/      rows to items: functions, timestamps, checks, ids, JSON text; polars expressions only
    audit/          what a whole data set tells that no row tells alone: identities, limits, dates, repeated keys

The edges. They do not import each other:

    config/         YAML to a checked job, every fault at once, with file and line
    extract/        files, databases, object stores: rows as one unchanging, row-numbered snapshot
    load/           items to bodies to answers: packing, lanes, pace, retries, verdicts
    state/          what survives a kill: runs, lane marks, rejects; one run of a job at a time
    report/         what people read: the terminal, report.html, report.json, progress
    sandbox/        a local Customer.io, with faults on demand

What the straight line uses of its own:

    ahead.py        frames mapped a few ahead, on all cores, in order
    signals.py      the first signal drains, the second stops
    resume.py       which run to go on with, or what has changed since it began
    since.py        where a step's source begins in this run, and whether its columns are what they were
    survey.py       what must be known of all rows before the first is sent: repeated keys, and what warns
    work.py         a step's rows and mapping, ready to be sent: opened, compiled, looked over
    record.py       what is written down of a run and its steps, however they end
    kept.py         what is kept of a step, so that its rejected rows can be mended later

Beside the straight line, and the door:

    rehearse.py     what a run would do: `validate`, `preview`, the examples of `check`
    check.py        all that is wrong in a job and its mappings, or in a mapping alone: `check`
    gate.py         what makes a validation fail: `--fail-on`
    propose/        what a source seems to hold: `init` writes a job and a mapping for it, `inspect` tells of its dates
    doctor/         what of all that a run needs works and what does not: `doctor`
    rejects.py      rejected rows with their reasons, written to a file
    replay.py       rejected rows sent again, mended or not: `replay`
    cells.py        values of any type as cells of text, and back
    status.py       where runs stand, and what the next `run` would do
    demo.py         the files that `make demo` loads
    cli/            commands, options, exit codes
    airflow/        the other door: connection, tasks and DAGs for Airflow

Imports run one way only, from the door through the line and the edges to the words; tests/test_floors.py reads them.
From Python, begin with `etl.config.load_job` and `etl.run.run_job`. Importing `etl` itself loads nothing.
"""
