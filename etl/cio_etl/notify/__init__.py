"""Tells people and programs how a job goes: decides what a channel is to be told, words it, and sends it.

compare.py    what is not as it should be: a failure, rejects, rows and time against the last runs
decide.py     what a channel is to be told, after what it was told before
notice.py     a notice: its text for people, its JSON for programs
send.py       sends a notice through its channel, within a bounded time
http.py       Slack-compatible and signed webhooks
mail.py       e-mail
program.py    a command
ping.py       calls the monitor of a job
tls.py        certificates
reach.py      whether a channel could be reached, for `doctor`
"""

from cio_etl.notify.compare import PastRun, compare
from cio_etl.notify.decide import Due, after, closed, due, told
from cio_etl.notify.not_sent import NotSent
from cio_etl.notify.notice import Notice
from cio_etl.notify.send import Outcome, send_all

__all__ = [
    "Due",
    "NotSent",
    "Notice",
    "Outcome",
    "PastRun",
    "after",
    "closed",
    "compare",
    "due",
    "send_all",
    "told",
]
