"""A local Customer.io: the documented endpoints, limits and answers, with faults on demand.

It is the server of the tests, of the demo and of `run --sandbox`. It records what it receives, so that a test can ask
what happened to each row. It knows nothing of the rest of the program and shares no code with it: a rule that both
sides had wrong in the same way would stay unnoticed.

    with Sandbox(Faults(rates={"503": 0.2, "lost_after": 0.02})) as sandbox:
        ...                                         # send to sandbox.url
        sandbox.people.find("id", "42")             # who is that now?
        sandbox.people.events["01HB4HBD..."].received   # how often did that event arrive?
        sandbox.objects.find("1", "acme")           # what is it, and who is related to it?
        sandbox.activity.of_type("failed_event")    # what was answered with 200 and had no effect?
        sandbox.stats()                             # requests, items, refusals, busiest second

It serves Track v2 (`/api/v2/batch`, `/api/v2/entity`), Track v1 (`/api/v1/…`), Pipelines (`/v1/batch`, `/v1/identify`
and so on), and the part of the App API that reads back what was sent.

One request goes through the files in this order:

    server.py      a uvicorn on a thread, on a loopback address only; serving.py starts and stops it at once
    wire.py        cut, dripping, broken and endless answers
    app.py         the handler of each path; paths.py decodes identifiers and answers unknown paths
    ingest.py      which fault applies to a request that sends data (faults.py, faulty.py); traffic.py counts
    handlers.py    Track: credentials and rules, applied to a body; answers.py has the shapes of answers
    pipelines_handlers.py  the same of Pipelines
    request_body.py bytes -> items, strictly
    rules.py       Track item -> its violations (pure); limits.py has the limits of identifiers and attributes
    pipelines.py   Pipelines call -> its faults, and the Track item that it becomes (pure), with calls.py and
                   semantic_events.py
    v1.py          request of Track v1 -> Track items (pure)
    people.py      item -> people, with identify.py; events.py, relationships.py with objects.py, segments.py and
                   identities.py with person.py: what belongs to them
    activity.py    what changed; what had no effect, and why
    lookup.py      requests that read: readback.py and activities.py as the App API, listing.py for the page of runs,
                   page.py as HTML
"""

from cio_etl.sandbox.activity import Activity
from cio_etl.sandbox.faults import Answer, Faults
from cio_etl.sandbox.objects import Object
from cio_etl.sandbox.people import Event, Merge, People, Person
from cio_etl.sandbox.person import Device
from cio_etl.sandbox.server import Sandbox, serve
from cio_etl.sandbox.workspace import Credentials

__all__ = [
    "Activity",
    "Answer",
    "Credentials",
    "Device",
    "Event",
    "Faults",
    "Merge",
    "Object",
    "People",
    "Person",
    "Sandbox",
    "serve",
]
