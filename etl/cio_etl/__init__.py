"""Loads files, tables and queries into Customer.io: mapped, checked, in order, resumable.

The rooms, from the ground up. Imports run downwards only; tests/test_floors.py keeps it so. Read run/run.py first.

    errors.py     every failure, grouped by who must act, with its exit code
    sandbox/      a local Customer.io, with faults on demand; it shares nothing with the program

    model/        the words: frozen records that pass from one room to another
    apis/         the APIs of Customer.io, a record and a folder each; operations and their payloads
    transform/    rows to items: functions, timestamps, checks, ids, JSON text; polars expressions only
    audit/        findings over a whole data set: identities, limits, dates, duplicate keys

    config/       YAML to a checked job: every problem at once, with file and line
    extract/      files, databases, object stores: rows as one unchanging, row-numbered snapshot
    load/         items to bodies to answers: packing, lanes, rate, retries, verdicts
    state/        what survives a kill: runs, lane progress, rejects; one run of a job at a time
    report/       what people read: the terminal, report.html, report.json, progress

    run/          the line from source to acknowledgement, and what it uses
    validate/     dry runs: what a run would do, and the payloads of the first rows
    rejects/      rejected rows: written to a file, fixed by a person, sent again
    propose/      a job and a mapping proposed for a source, and its date formats
    doctor/       which parts of what a run needs work, and how to fix those that do not

    cli/          the command line
    airflow/      connection, tasks and DAGs for Airflow
"""
