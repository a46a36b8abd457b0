"""Does the sandbox show people and events as the App API does?"""

from __future__ import annotations

import httpx
import pytest
from calling import APP, event, identify, send

from etl.sandbox import Sandbox


def test_a_person_is_read_back_as_strings(client: httpx.Client, sandbox: Sandbox) -> None:
    item = identify("1", 1_700_000_000, email="a+b@c.co", n=7, yes=True, tags=["é", 1], unsubscribed="TRUE")
    send(client, sandbox, item)
    person = sandbox.people.everybody()[0]
    url = f"{sandbox.url}/v1/customers"
    with httpx.Client(headers=APP) as app:
        customer = app.get(f"{url}/1/attributes").json()["customer"]
        assert customer["attributes"] == {
            "n": "7",
            "yes": "true",
            "tags": '["é",1]',
            "unsubscribed": "TRUE",
            "id": "1",
            "email": "a+b@c.co",
            "cio_id": person.cio_id,
        }
        assert customer["timestamps"]["n"] == 1_700_000_000
        assert customer["unsubscribed"] is True
        assert customer["identifiers"] == {"cio_id": person.cio_id, "id": "1", "email": "a+b@c.co"}
        for kind, value in (("email", "A+B@c.co"), ("cio_id", person.cio_id), ("cio_id", f"cio_{person.cio_id}")):
            again = app.get(f"{url}/{httpx.URL(path=value).path}/attributes", params={"id_type": kind})
            assert again.json()["customer"] == customer
        assert app.get(url, params={"email": "A+B@c.co"}).json() == {"results": [customer["identifiers"]]}
        assert app.get(f"{url}?email=a+b@c.co").json() == {"results": []}  # an unescaped + is a space
        assert app.get(f"{url}/2/attributes").status_code == 404
        assert app.get(f"{url}/1/attributes", params={"id_type": "name"}).status_code == 400


def test_up_to_100_people_are_read_back_at_once(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, *[identify(str(n), n=n) for n in range(5)])
    url = f"{sandbox.url}/v1/customers/attributes"
    with httpx.Client(headers=APP) as app:
        people = app.post(url, json={"ids": ["3", "nobody", "1"]}).json()["customers"]
        assert [(person["id"], person["attributes"]["n"]) for person in people] == [("3", "3"), ("1", "1")]
        for ids in ([], ["1"] * 101, [1], "1", None):
            assert app.post(url, json={"ids": ids}).status_code == 400
        assert app.post(url, content=b"{").status_code == 400


def test_a_persons_events_are_paged_with_the_latest_first(client: httpx.Client, sandbox: Sandbox) -> None:
    screen = event(name="home") | {"action": "screen"}
    send(client, sandbox, *[event(name=f"e{n}", timestamp=n, attributes={"n": n}) for n in range(12)], screen)
    url = f"{sandbox.url}/v1/customers/42/activities"
    with httpx.Client(headers=APP) as app:
        first = app.get(url, params={"type": "event"}).json()
        assert [each["name"] for each in first["activities"]] == [f"e{n}" for n in range(11, 1, -1)]
        rest = app.get(url, params={"type": "event", "start": first["next"]}).json()
        assert ([each["data"] for each in rest["activities"]], rest["next"]) == ([{"n": 1}, {"n": 0}], "")
        assert len(app.get(url, params={"limit": "100"}).json()["activities"]) == 13
        assert [each["type"] for each in app.get(url, params={"name": "home"}).json()["activities"]] == ["screen"]
        assert app.get(f"{sandbox.url}/v1/customers/7/activities").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/customers?email=a"),
        ("GET", "/v1/customers/1/attributes"),
        ("GET", "/v1/customers/1/activities"),
        ("POST", "/v1/customers/attributes"),
    ],
)
def test_the_app_api_wants_its_own_key(client: httpx.Client, sandbox: Sandbox, method: str, path: str) -> None:
    assert client.request(method, sandbox.url + path).status_code == 401  # the Track key
    assert httpx.request(method, sandbox.url + path, headers={"Authorization": "Bearer no"}).status_code == 401
