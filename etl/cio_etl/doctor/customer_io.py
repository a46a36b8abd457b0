"""Checks whether Customer.io can be reached and accepts the credentials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cio_etl.apis import APIS
from cio_etl.doctor.check import Check, Machine, duration_words
from cio_etl.errors import CredentialsRefused
from cio_etl.load import check_credentials, with_region
from cio_etl.model import Job
from cio_etl.run.verifying import require_app_key

SKEW_S = 60.0  # between this machine's clock and Customer.io's: a larger difference is reported


def customer_io(job: Job, machine: Machine) -> Iterator[Check]:
    """Checks address, credentials, region and clock, with one request."""
    destination = job.destination
    api = APIS[destination.api]
    keys_missing = not all(secret.get_secret_value() for secret in destination.credentials.values())
    impatient = replace(destination, attempt_deadline_s=min(destination.attempt_deadline_s, machine.patience_s))
    try:
        answer = check_credentials(impatient, machine.patience_s, persistent=True)
    except CredentialsRefused as error:
        if not keys_missing:
            raise
        yield Check("Customer.io", "ok", f"{error.facts['host']} answers; the credentials are missing")
        return
    with_region(destination, answer)
    if api.credential_request.region is None:
        keys = " and ".join(key.replace("_", " ") for key in api.credentials)
        yield Check("Customer.io", "ok", f"{answer.host} accepts the {keys}")
    elif answer.region is None:
        text = f"{answer.host} accepts the credentials, but does not say to which region they belong"
        yield Check("Customer.io", "warning", text, f"check that base_url is the address of the {api.title} API")
    else:
        text = f"{answer.host} accepts the credentials, which belong to the region {answer.region}"
        yield Check("Customer.io", "ok", text)
    if answer.clock_ahead_s is not None and abs(answer.clock_ahead_s) > SKEW_S:
        where = "ahead of" if answer.clock_ahead_s > 0 else "behind"
        text = f"this machine's clock is {duration_words(abs(answer.clock_ahead_s))} {where} that of {answer.host}"
        yield Check(
            "clock", "warning", text, "set the clock (NTP): the watermark of an incremental source never passes it"
        )


def app_api(job: Job, machine: Machine) -> Iterator[Check]:
    """Checks the key of the App API, of a job that has one or that verifies its runs, with one request."""
    destination = job.destination
    if job.verify is None and destination.app_api_key is None:
        return
    require_app_key(job)
    if destination.app_api_key is None or not destination.app_api_key.get_secret_value():
        return  # the job file's own check names the variable
    from cio_etl.apis import app
    from cio_etl.run.verify import ReadBack

    if not destination.base_url:
        destination = with_region(destination, check_credentials(destination, machine.patience_s, persistent=True))
    with ReadBack(
        replace(destination, attempt_deadline_s=machine.patience_s, batch_budget_s=machine.patience_s)
    ) as api:
        api.check()
    host = app.address(destination).partition("://")[2]
    yield Check("App API", "ok", f"{host} accepts the App API key")
