"""What is this room? A local Customer.io: the documented endpoints, limits and answers, with faults on demand.

It is the server of the tests, of the demo and of a rehearsal, and the judge of them: it remembers what it was sent, so
that a test can ask what became of each row. It knows nothing of the rest of the program and shares no code with it: a
rule that both sides had wrong in the same way would go unseen.

    with Sandbox(Faults(rates={"503": 0.2, "lost_after": 0.02})) as sandbox:
        ...                                         # send to sandbox.url
        sandbox.people.find("id", "42")             # who is that now?
        sandbox.people.events["01HB4HBD..."].received   # how often did that event arrive?
        sandbox.stats()                             # requests, items, refusals, busiest second

One request goes through the files in this order:

    server.py      a uvicorn on a thread, on a loopback address only
    wire.py        cut, dripping, broken and endless answers
    app.py         which path is answered by what
    workspace.py   credentials, faults and rules, applied to a body
    reading.py     bytes -> items, strictly
    rules.py       item -> what is wrong with it (pure)
    people.py      item -> people and events
    faults.py      which fault comes next; traffic.py counts; page.py shows
"""

from etl.sandbox.faults import Answer, Faults
from etl.sandbox.people import Event, People, Person
from etl.sandbox.server import Sandbox, serve
from etl.sandbox.workspace import Credentials

__all__ = ["Answer", "Credentials", "Event", "Faults", "People", "Person", "Sandbox", "serve"]
