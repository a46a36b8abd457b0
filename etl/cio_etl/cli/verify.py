"""The command `verify`: reads people back from Customer.io, and compares them with the sources."""

from __future__ import annotations

import json
from pathlib import Path

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JOB, RESULT_JSON, options
from cio_etl.run.verify_options import VERIFY_OPTIONS, VerifyOptions


@cli.command(epilog="More: jobs/README.md, Verify")
@JOB
@options(VerifyOptions, only=VERIFY_OPTIONS)
@ENV_FILE
@RESULT_JSON
def verify(job: Path, options: VerifyOptions, as_json: bool) -> None:
    """Compare people of JOB with what Customer.io has.

    A random sample of the people of the sources is read back through the App API, which needs `app_api_key` in the
    job's destination. Nothing is sent. Exits with 3 when somebody is missing or has other values.
    """
    from cio_etl.cli.commands import as_typed, target_words, with_option
    from cio_etl.cli.shared import resumed_by
    from cio_etl.log.streams import say
    from cio_etl.run.options import repeated_words
    from cio_etl.run.verifying import verify_file

    again = as_typed("verify", job, *repeated_words(options))
    run = as_typed("run", job, *target_words(options.target))
    with resumed_by(again, str(job) if as_json else None, with_option=with_option(again, run)):
        result = verify_file(job, options, lambda line: say(line, err=True))
    if as_json:
        say(json.dumps(result.as_json(), ensure_ascii=False))
    else:
        from cio_etl.log.consoles import Screen
        from cio_etl.report.terminal import verification_lines

        screen = Screen()
        for line in verification_lines(result):
            screen.print(line, soft_wrap=True)
        if result.never_sent:
            say(f"send them  {run}")
        if result.different and not options.reveal:
            say(f"values     {as_typed('verify', job, *repeated_words(options), '--reveal')}")
    raise SystemExit(3 if result.different else 0)
