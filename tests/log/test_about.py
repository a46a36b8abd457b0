"""What log events say they are about: the run, the step, the lane."""

from __future__ import annotations

import logging

import pytest
import structlog
from structlog.testing import capture_logs

from cio_etl.log import Thread, about, get_logger

log = get_logger()


def test_events_of_a_block_and_of_its_threads_say_what_it_is_about() -> None:
    with capture_logs() as events:
        with about(run_id="r1"):

            def work() -> None:
                with about(lane=3):
                    log.info("in_thread", step="of the event itself")

            with about(step="people"):
                thread = Thread(target=work)
            thread.start()
            thread.join()
            log.info("in_block")
        log.info("after")
    inside, block, after = ({**each, "log_level": ""} for each in events)
    named = {"run_id": "r1", "lane": 3, "step": "of the event itself", "event": "in_thread", "log_level": ""}
    assert inside == named
    assert block == {"run_id": "r1", "event": "in_block", "log_level": ""}
    assert after == {"event": "after", "log_level": ""}


def test_so_do_those_of_a_program_that_has_not_configured_structlog(caplog: pytest.LogCaptureFixture) -> None:
    structlog.reset_defaults()
    caplog.set_level(logging.INFO, logger="cio_etl")
    with about(run_id="r1", lane=0):
        log.warning("batch_delayed")
    assert caplog.messages == ["event=batch_delayed run_id=r1 lane=0"]
