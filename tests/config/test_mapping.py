"""A mapping file becomes a Mapping, or a ConfigError that names every fault with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cio_etl.apis import OPERATIONS
from cio_etl.config import load_mapping
from cio_etl.errors import ConfigError
from cio_etl.model import Call, Column, Columns, Constant, Example, Mapping
from cio_etl.transform import columns_of

Read = Callable[[str], Mapping]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    monkeypatch.chdir(tmp_path)

    def write_and_read(text: str) -> Mapping:
        Path("m.yaml").write_text(text, encoding="utf-8")
        return load_mapping(Path("m.yaml"))

    return write_and_read


def problems_of(read: Read, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(text)
    return [str(problem) for problem in error.value.problems]


def test_every_key_of_a_mapping_is_read(read: Read) -> None:
    mapping = read(
        """\
operation: track
event: kind
identifiers: {email: {column: e_mail, apply: [trim, lower]}}
timestamp: {column: at, apply: {timestamp: {timezone: Europe/Paris}}}
event_key: order_id
attributes:
  total: {column: cents, apply: [{divide: 100}]}
  source: {value: {name: shop, tags: [a, 1, null]}}
  "": {value: 1}
nulls: clear
when: |
  status <> 'test'
allow_reserved: recipient
examples:
  - row: {kind: a, at: "2024-03-10"}
    payload: {type: person}
  - {row: {kind: b}, rejected: identifier_missing}
  - {row: {kind: c}, skipped: true}
""".replace('  "": {value: 1}\n', "")
    )
    assert mapping.operation == "track"
    assert mapping.event_key == ("order_id",)
    assert mapping.targets == {
        "identifiers.email": Column("e_mail", (Call("trim"), Call("lower"))),
        "event": Column("kind"),
        "timestamp": Column("at", (Call("timestamp", {"timezone": "Europe/Paris"}),)),
        "attributes.total": Column("cents", (Call("divide", {"by": 100}),)),
        "attributes.source": Constant({"name": "shop", "tags": ["a", 1, None]}),
    }
    assert (mapping.nulls, mapping.when, mapping.allow_reserved) == ("clear", "status <> 'test'", ("recipient",))
    assert mapping.examples == (
        Example({"kind": "a", "at": "2024-03-10"}, payloads={"track": {"type": "person"}}, line=14),
        Example({"kind": "b"}, rejected="identifier_missing", line=16),
        Example({"kind": "c"}, skipped=True, line=17),
    )
    assert len(mapping.digest) == 64


def test_optional_keys_may_be_omitted(read: Read) -> None:
    mapping = read("operation: identify\nidentifiers: {id: user_id}\n")
    assert mapping.targets == {"identifiers.id": Column("user_id")}
    assert (mapping.event_key, mapping.when, mapping.nulls, mapping.examples) == ((), None, "omit", ())


@pytest.mark.parametrize(("written", "read_as"), [("updated_at", ("updated_at",)), ("[at, no]", ("at", "no"))])
def test_order_by_is_a_column_or_a_list_of_columns(read: Read, written: str, read_as: tuple[str, ...]) -> None:
    mapping = read(f"operation: identify\nidentifiers: {{id: user_id}}\norder_by: {written}\n")
    assert mapping.order_by == read_as
    assert columns_of(mapping) == ("user_id", *read_as)


def test_an_event_without_a_timestamp_is_allowed(read: Read) -> None:
    assert "timestamp" not in read("operation: track\nidentifiers: {id: a}\nevent: {value: seen}\n").targets


def test_a_constant_null_is_a_constant(read: Read) -> None:
    mapping = read("operation: identify\nidentifiers: {id: a}\nattributes: {x: {value: null}}\n")
    assert mapping.targets["attributes.x"] == Constant(None)


def test_an_attribute_says_what_is_sent_in_place_of_a_value_that_cannot_be(read: Read) -> None:
    mapping = read(
        """\
operation: identify
identifiers: {id: a}
on_error: omit
attributes:
  plain: a
  constant: {value: 1}
  strict: {column: a, on_error: reject}
  removed: {column: a, on_error: null}
  quoted: {column: a, on_error: "null"}
  replaced: {expr: a + b, on_error: {value: [1]}}
relationships:
  - {object: {type: 1, id: c}, attributes: {role: {columns: [a, b], apply: [coalesce], on_error: {value: null}}}}
"""
    )
    assert mapping.on_error == {
        "attributes.plain": None,
        "attributes.removed": Constant(None),
        "attributes.quoted": Constant(None),
        "attributes.replaced": Constant([1]),
        "relationships[0].attributes.role": Constant(None),
    }
    assert read("operation: identify\nidentifiers: {id: a}\nattributes: {b: b}\n").on_error == {}
    device = "operation: add_device\nidentifiers: {id: a}\ndevice: {token: t, platform: p, attributes: {os: o}}\n"
    assert read(device + "on_error: null\n").on_error == {"device.attributes.os": None}
    assert read(device + "on_error: {value: x}\n").on_error == {"device.attributes.os": Constant("x")}


def test_an_attribute_has_nulls_of_its_own(read: Read) -> None:
    attributes = "attributes: {a: {column: a, nulls: clear}, b: {column: b, nulls: omit}, c: c}\n"
    mapping = read(f"operation: identify\nidentifiers: {{id: a}}\n{attributes}")
    assert {name: mapping.nulls_at(f"attributes.{name}") for name in "abc"} == {"a": "clear", "b": "omit", "c": "omit"}
    mapping = read(f"operation: identify\nidentifiers: {{id: a}}\nnulls: clear\n{attributes}")
    assert {name: mapping.nulls_at(f"attributes.{name}") for name in "abc"} == {"a": "clear", "b": "omit", "c": "clear"}


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("attributes: {email: {value: a@b}}", "3: attributes.email.value", "email_malformed"),
        ("attributes: {email: {value: 7}}", "3: attributes.email.value", "email_malformed"),
        (
            "attributes: {email: {column: e, on_error: {value: none}}}",
            "3: attributes.email.on_error",
            "email_malformed",
        ),
        (
            "attributes: {email: e}\non_error: {value: none}",
            "4: on_error: as the value of attributes.email",
            "email_ma",
        ),
        (
            "attributes: {created_at: {value: 1710057600123}}",
            "3: attributes.created_at.value",
            "timestamp_out_of_range",
        ),
        (
            "attributes: {created_at: {column: c, on_error: {value: x}}}",
            "3: attributes.created_at.on_error",
            "timestamp",
        ),
        ('attributes: {phone: {value: "+3\u200b3"}}', "3: attributes.phone.value", "characters_unseen"),
        (f"attributes: {{note: {{value: {'x' * 1_001}}}}}", "3: attributes.note.value", "value_too_long"),
        (f"attributes: {{note: {{value: [{'x' * 998}]}}}}", "3: attributes.note.value", "value_too_long"),
    ],
)
def test_a_constant_obeys_the_rules_of_its_attribute(read: Read, text: str, place: str, reason: str) -> None:
    (problem,) = problems_of(read, f"operation: identify\nidentifiers: {{id: a}}\n{text}\n")
    assert problem.startswith(f"m.yaml:{place}") and f"({reason}" in problem


def test_a_constant_that_a_row_may_have_is_taken(read: Read) -> None:
    text = "{email: {column: e, on_error: {value: a@b.co}}, created_at: {value: 0}, at: {value: x}, n: {value: null}}"
    mapping = read(f"operation: identify\nidentifiers: {{id: a}}\nattributes: {text}\non_error: {{value: [1]}}\n")
    assert mapping.on_error == {"attributes.email": Constant("a@b.co")}
    event = "operation: track\nevent: {value: e}\nidentifiers: {id: a}\n"
    assert read(event + "attributes: {email: {value: none}}\n").targets["attributes.email"] == Constant("none")


ON_ERROR = "must be reject, omit, null, or a constant in place of the value, as {value: unknown}"
EMPTY = "empty; write reject, omit, null, or a constant in place of the value, as {value: unknown}"
TEXTS = "the attributes of a device are texts; write omit, or a text as {value: unknown}"
NEEDED = "only attributes have on_error:, since no row is sent without this value; leave it out"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("on_error: skip\n", [f"m.yaml:4: on_error: {ON_ERROR}"]),
        ("on_error: {values: 1}\n", [f"m.yaml:4: on_error: {ON_ERROR}"]),
        (
            "on_error:\n",
            [f"m.yaml:4: on_error: {EMPTY}"],
        ),
        (
            "attributes:\n  a: {column: a, on_error: }\n  on_error: on_error\n",
            [f"m.yaml:5: attributes.a.on_error: {EMPTY}"],
        ),
        (
            "attributes:\n  a: {value: 1, on_error: omit}\n  b: {value: 1, nulls: clear}\n",
            [
                "m.yaml:5: attributes.a: on_error: needs a column; a constant is always sent as it is written",
                "m.yaml:6: attributes.b: nulls: needs a column; a constant is always sent as it is written",
            ],
        ),
        ("timestamp: {column: t, on_error: omit}\n", [f"m.yaml:4: timestamp.on_error: {NEEDED}"]),
        (
            "relationships:\n  - object: {type: 1, id: {column: c, on_error: omit}}\n",
            [f"m.yaml:5: relationships[0].object.id.on_error: {NEEDED}"],
        ),
    ],
)
def test_on_error_is_of_attributes_from_columns(read: Read, text: str, problems: list[str]) -> None:
    assert problems_of(read, f"operation: identify\nidentifiers:\n  id: a\n{text}") == problems


@pytest.mark.parametrize("part", ["identifiers: {id: VALUE}", "event: VALUE", "timestamp: VALUE"])
def test_what_an_event_needs_has_no_on_error(read: Read, part: str) -> None:
    parts = {"identifiers": "identifiers: {id: a}", "event": "event: b", "timestamp": "timestamp: c"}
    parts[part.split(":")[0]] = part.replace("VALUE", "{column: a, on_error: null}")
    (problem,) = problems_of(read, "\n".join(["operation: track", *parts.values(), ""]))
    assert problem.endswith(f".on_error: {NEEDED}")


@pytest.mark.parametrize(
    ("written", "place", "fault"),
    [
        ("nulls: clear", "nulls", "the attributes of a device are not removed by null; write omit, or leave it out"),
        (
            "on_error: null",
            "on_error",
            TEXTS,
        ),
        (
            "on_error: {value: 1}",
            "on_error",
            TEXTS,
        ),
    ],
)
def test_an_attribute_of_a_device_is_never_null(read: Read, written: str, place: str, fault: str) -> None:
    device = f"device: {{token: t, platform: p, attributes: {{os: {{column: o, {written}}}}}}}"
    text = f"operation: add_device\nidentifiers: {{id: a}}\n{device}\n"
    assert problems_of(read, text) == [f"m.yaml:3: device.attributes.os.{place}: {fault}"]
    token = text.replace("token: t", "token: {column: t, on_error: omit}").replace(f", {written}", "")
    assert problems_of(read, token) == [f"m.yaml:3: device.token.on_error: {NEEDED}"]


IDENTIFY = "operation: identify\nidentifiers: {id: a}\n"
TRACK = "operation: track\nidentifiers: {id: a}\nevent: {value: seen}\n"
A_VALUE = "a value is a column's name, {column: name, apply: [function]} or, for a constant, {value: 7}"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "identifiers: {id: a}\n",
            ["m.yaml:1: operation: missing; add this key"],
        ),
        (
            "operation: identfy\nidentifiers: {id: a}\n",
            ["m.yaml:1: operation: no such operation; did you mean 'identify'?"],
        ),
        (
            "operation: 7\nidentifiers: {id: a}\n",
            [f"m.yaml:1: operation: no such operation; there are {', '.join(OPERATIONS)}"],
        ),
        (
            "operation: identify\n",
            ["m.yaml:1: identifiers: missing; write identifiers: {id: column}, with one of id, email, phone, cio_id"],
        ),
        (
            "operation: identify\nidentifiers: {}\n",
            ["m.yaml:2: identifiers: empty; write one of id, email, phone, cio_id"],
        ),
        (
            "operation: identify\nidentifiers: user_id\n",
            ["m.yaml:2: identifiers: must be keys with values, as `key: value`"],
        ),
        (
            "operation: identify\nidentifiers:\n  id: a\n  email: b\n",
            ["m.yaml:4: identifiers.email: a second identifier; keep one of id, email"],
        ),
        (
            "operation: identify\nidentifiers: {user_id: a}\n",
            ["m.yaml:2: identifiers.user_id: unknown key; there are id, email, phone, cio_id, anonymous_id, first"],
        ),
        (
            "operation: identify\nidentifiers: {id: {value: ' '}}\n",
            ["m.yaml:2: identifiers.id: a constant identifier is text, and not empty"],
        ),
        (
            IDENTIFY + "atributes: {}\n",
            ["m.yaml:3: atributes: unknown key; did you mean 'attributes'?"],
        ),
        (
            IDENTIFY + "attributes: [a]\n",
            ["m.yaml:3: attributes: must be keys with values, as `key: value`"],
        ),
        (
            IDENTIFY + "attributes:\n  plan: 7\n  on: true\n  list: [a]\n  none:\n",
            [
                f"m.yaml:4: attributes.plan: {A_VALUE}",
                f"m.yaml:5: attributes.on: {A_VALUE}",
                f"m.yaml:6: attributes.list: {A_VALUE}",
                f"m.yaml:7: attributes.none: {A_VALUE}",
            ],
        ),
        (
            IDENTIFY + "attributes:\n  plan:\n    column: plan\n    aply: [trim]\n",
            ["m.yaml:6: attributes.plan.aply: unknown key; did you mean 'apply'?"],
        ),
        (
            IDENTIFY + "attributes: {column: {colum: a}}\n",
            ["m.yaml:3: attributes.column.colum: unknown key; did you mean 'column'?"],
        ),
        (
            IDENTIFY + "attributes: {plan: {column: a, value: b}}\n",
            ["m.yaml:3: attributes.plan: write one of column:, columns:, expr: and value:"],
        ),
        (
            IDENTIFY + "attributes: {plan: {apply: [trim]}}\n",
            ["m.yaml:3: attributes.plan: write one of column:, columns:, expr: and value:"],
        ),
        (
            IDENTIFY + "attributes: {plan: {value: a, apply: [trim]}}\n",
            ["m.yaml:3: attributes.plan: apply: needs a column; write the constant as it should be sent"],
        ),
        (
            IDENTIFY + "attributes: {plan: {column: 7}}\n",
            ["m.yaml:3: attributes.plan.column: must be text; put it in quotes"],
        ),
        (
            IDENTIFY + "attributes: {plan: ''}\n",
            ["m.yaml:3: attributes.plan.column: must not be empty"],
        ),
        (
            IDENTIFY + "attributes: {x: {value: {a: [1, .nan]}}}\n",
            ["m.yaml:3: attributes.x.value: NaN or infinity, which JSON cannot represent; leave it out"],
        ),
        (
            IDENTIFY + "attributes:\n  plan:\n    column: a\n    apply:\n      - trim\n      - lowr\n",
            ["m.yaml:8: attributes.plan.apply[1]: no function 'lowr'; did you mean 'lower'?"],
        ),
        (
            IDENTIFY + "attributes: {plan: {column: a, apply: [7]}}\n",
            [
                "m.yaml:3: attributes.plan.apply[0]: a function is its name, or {name: argument}, or "
                "{name: {argument: value, …}}; one for each '-'"
            ],
        ),
        (
            IDENTIFY + "attributes: {plan: {column: a, apply: [{divide: x}]}}\n",
            ["m.yaml:3: attributes.plan.apply[0]: divide: 'by' must be a number"],
        ),
        (
            IDENTIFY + "attributes: {plan: {column: a, apply: 7}}\n",
            ["m.yaml:3: attributes.plan.apply: must be a name, or a list of them"],
        ),
        (
            IDENTIFY + "attributes: {cio_id: a}\n",
            [
                "m.yaml:3: attributes.cio_id: 'cio_id' is reserved by Customer.io; "
                "add allow_reserved: [cio_id] if you mean it"
            ],
        ),
        (
            TRACK + "attributes: {recipient: a}\nallow_reserved: [reply_to]\n",
            [
                "m.yaml:4: attributes.recipient: 'recipient' is reserved by Customer.io; "
                "add allow_reserved: [recipient] if you mean it"
            ],
        ),
        (
            IDENTIFY + "allow_reserved: [cio_idd]\n",
            ["m.yaml:3: allow_reserved[0]: not a reserved name; did you mean 'cio_id'?"],
        ),
        (
            "operation: track\nidentifiers: {id: a}\n",
            [
                "m.yaml:1: event: missing; write event: {value: order_placed}, or the column that contains the "
                "event's name"
            ],
        ),
        (
            IDENTIFY + "event: {value: a}\nevent_key: [b]\n",
            [
                f"m.yaml:{line}: {part}: identify does not have this key; leave it out, "
                "or write operation: track or page or screen"
                for line, part in ((3, "event"), (4, "event_key"))
            ],
        ),
        (
            "operation: track\nidentifiers: {id: a}\nevent: {value: ''}\n",
            ["m.yaml:3: event: the name of an event is text, and not empty"],
        ),
        (
            TRACK + "event_key: [a, b, a]\n",
            ["m.yaml:4: event_key[2]: written twice; keep one"],
        ),
        (
            IDENTIFY + "order_by: [a, a]\n",
            ["m.yaml:3: order_by[1]: written twice; keep one"],
        ),
        (
            TRACK + "order_by: a\n",
            [
                "m.yaml:4: order_by: track does not have this key; leave it out, "
                "or write operation: identify or identify_object"
            ],
        ),
        (
            TRACK + "event_key: 7\n",
            ["m.yaml:4: event_key: must be a name, or a list of them"],
        ),
        (
            TRACK + "timestamp: {value: now}\n",
            ["m.yaml:4: timestamp: a constant time is a whole number of Unix seconds"],
        ),
        (
            IDENTIFY + "nulls: omitt\n",
            ["m.yaml:3: nulls: must be 'omit' or 'clear'"],
        ),
        (
            IDENTIFY + "when: true\n",
            ["m.yaml:3: when: must be text; put it in quotes"],
        ),
        (
            IDENTIFY + "when: a ==\n",
            ["m.yaml:3: when: not a condition in SQL over the row's columns, as \"plan_name <> 'internal'\""],
        ),
        (
            IDENTIFY + "when: a in (select b from read_csv('x'))\n",
            [
                "m.yaml:3: when: a query inside (SELECT); only the columns of one row can be used: "
                "prepare a column in the source, or put the word in double quotes if it is a column"
            ],
        ),
        (
            IDENTIFY + "examples:\n  - payload: {}\n",
            ["m.yaml:4: examples[0].row: missing; add this key"],
        ),
        (
            IDENTIFY + "examples:\n  - row: {}\n",
            ["m.yaml:4: examples[0]: an example has one result: payload: {…}, rejected: reason, or skipped: true"],
        ),
        (
            IDENTIFY + "examples:\n  - row: {}\n    skipped: false\n",
            ["m.yaml:5: examples[0].skipped: must be true, or left out"],
        ),
        (
            IDENTIFY + "examples: {row: {}}\n",
            ["m.yaml:3: examples: must be a list"],
        ),
    ],
)
def test_each_problem_has_its_line_and_its_remedy(read: Read, text: str, problems: list[str]) -> None:
    assert problems_of(read, text) == problems


def test_all_problems_are_reported_at_once_in_the_order_of_lines(read: Read) -> None:
    text = "operation: track\nidentifiers: {id: a, email: b}\n"
    text += "attributes:\n  a: 7\n  b: {column: c, apply: [x]}\nattributes: 1\n"
    assert [problem.split(": ")[0] for problem in problems_of(read, text)] == [
        "m.yaml:1",
        "m.yaml:2",
        "m.yaml:4",
        "m.yaml:5",
        "m.yaml:6",
    ]


def test_a_number_with_a_leading_zero_in_an_example_is_refused(read: Read) -> None:
    assert problems_of(read, IDENTIFY + "examples:\n  - {row: {id: 007}, skipped: true}\n") == [
        "m.yaml:4: examples[0].row.id: a number that would lose its leading zero or plus; put it in quotes"
    ]


def test_more_attributes_than_customer_io_accepts_are_refused(read: Read) -> None:
    text = IDENTIFY + "attributes:\n" + "".join(f"  a{n}: a\n" for n in range(301))
    assert problems_of(read, text) == ["m.yaml:3: attributes: 301 attributes; Customer.io takes 300 a call"]


def test_an_expr_is_a_value_of_the_columns_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("operation: identify\nidentifiers: {id: a}\nattributes: {net: {expr: gross - tax, apply: round}}\n")
    value = load_mapping(path).targets["attributes.net"]
    assert value == Columns(("gross", "tax"), (Call("expr", {"sql": "gross - tax"}), Call("round")))


def test_a_column_that_an_expr_names_twice_is_listed_once(read: Read) -> None:
    value = read(IDENTIFY + "attributes: {net: {expr: a || b || a}}\n").targets["attributes.net"]
    assert isinstance(value, Columns)
    assert value.names == ("a", "b")
