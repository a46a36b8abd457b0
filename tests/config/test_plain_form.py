"""`extends`, `vars`, `define` and `use`: each becomes the plain form, and faults name what was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cio_etl.cli import main
from cio_etl.config import canonical, load_job, load_mapping, plain_data, yaml_text
from cio_etl.errors import ConfigError

Write = Callable[..., Path]

BASE = """\
operation: identify
identifiers: {id: "${vars.key}"}
vars: {key: id, zone: UTC}
define:
  clean: [trim, lower]
  signed: {column: signed_up, apply: [{timestamp: {timezone: "${vars.zone}"}}]}
attributes:
  email: {column: mail, apply: [{use: clean}]}
  plan: plan
  created_at: {use: signed}
when: "country = '${vars.key}'"
examples:
  - {row: {id: "1", mail: null, plan: null, signed_up: null, country: null}, skipped: true}
"""
THIS = """\
extends: base.yaml
vars: {zone: Europe/Paris}
define:
  name: {column: first, apply: [trim]}
attributes:
  plan:
  city: {column: city, apply: {use: clean}}
  first: {use: name, apply: upper, on_error: omit}
"""
PLAIN = """\
operation: identify
identifiers: {id: id}
attributes:
  email: {column: mail, apply: [trim, lower]}
  created_at: {column: signed_up, apply: [{timestamp: {timezone: Europe/Paris}}]}
  city: {column: city, apply: [trim, lower]}
  first: {column: first, apply: [trim, upper], on_error: omit}
when: "country = 'id'"
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def files(**texts: str) -> Path:
        Path("m").mkdir(exist_ok=True)
        for name, text in texts.items():
            Path(f"m/{name}.yaml").write_text(text, encoding="utf-8")
        return Path("m/this.yaml")

    return files


def faults(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_mapping(path)
    return [str(problem) for problem in error.value.problems]


def test_a_mapping_becomes_its_plain_form(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(base=BASE, this=THIS, plain=PLAIN)
    assert canonical(load_mapping(path)) == canonical(load_mapping(Path("m/plain.yaml")))
    assert main(["check", "--expand", str(path)]) == 0
    printed = capsys.readouterr().out
    assert printed == f"# m/this.yaml\n{PLAIN}"
    assert main(["check", "m/base.yaml"]) == 0
    places = load_mapping(path).places
    assert (places["attributes.email"], places["attributes.city"]) == ("m/base.yaml:8", "m/this.yaml:7")


def test_files_extend_each_other_over_several_steps(write: Write) -> None:
    middle = "extends: base.yaml\nvars: {key: uid}\nidentifiers: {email: mail}\n"
    path = write(base=BASE, middle=middle, this="extends: middle.yaml\nvars: {key: n}\nattributes: {plan: tariff}\n")
    mapping = load_mapping(path)
    assert mapping.part("identifiers").keys() == {"email"} and mapping.when == "country = 'n'"
    assert list(mapping.part("attributes")) == ["email", "plan", "created_at"] and mapping.examples == ()


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        # what is inherited is told where it is written
        (
            {"base": BASE.replace("column: mail", "colum: mail")},
            "m/base.yaml:8: attributes.email.colum: unknown key",
        ),
        ({"base": BASE.replace("[trim, lower]", "[trim, lowr]")}, "m/base.yaml:5: define.clean[1]: no function 'lowr'"),
        ({"this": THIS.replace("column: first,", "column: 7,")}, "m/this.yaml:4: define.name.column: must be text"),
        # extends
        ({"this": "extends: bas.yaml\n"}, "m/this.yaml:1: extends: no file 'm/bas.yaml'; did you mean m/base.yaml?"),
        ({"this": "extends: x/other.yaml\n"}, "m/this.yaml:1: extends: no file 'm/x/other.yaml'; "),
        ({"this": "extends: 7\n"}, "m/this.yaml:1: extends: must name a file"),
        (
            {"base": f"extends: this.yaml\n{BASE}"},
            "m/base.yaml:1: extends: the files extend each other: m/this.yaml → m/b",
        ),
        ({"this": "extends: this.yaml\n"}, "m/this.yaml:1: extends: the files extend each other: m/this.yaml → m/this"),
        (
            {
                "base": "operation: identify\nidentifiers: {id: id}\nattributes: [a]\n",
                "this": "extends: base.yaml\nattributes: {b: b}\n",
            },
            "m/base.yaml:3: attributes: must be names with values",
        ),
        ({"base": "a: [\n"}, "m/base.yaml:2: column 1: a `[` or `{` that"),
        # vars
        (
            {"this": THIS.replace("zone: E", "zon: E")},
            "m/this.yaml:2: vars.zon: nothing reads this variable; did you m",
        ),
        (
            {"this": THIS.replace("zone: E", "zone: [E").replace("Paris}", "Paris]}")},
            "m/this.yaml:2: vars.zone: must be t",
        ),
        (
            {"this": THIS.replace("city: {column: city", "city: {column: '${vars.cty}'")},
            "m/this.yaml:7: attributes.city.c",
        ),
        (
            {"base": BASE.replace("zone: UTC", "zone: '${vars.key}'"), "this": "extends: base.yaml\n"},
            "m/base.yaml:3: vars.z",
        ),
        (
            {"this": THIS + "  '${vars.key}': x\n"},
            "m/this.yaml:9: attributes['${vars.key}']: a variable cannot be a part",
        ),
        ({"this": THIS + "nulls: '${vars. '\n"}, "m/this.yaml:9: nulls: a variable is written as ${vars.name}"),
        (
            {"this": THIS.replace("zone: Europe/Paris", "v: 1.10") + "  version: {value: 'v${vars.v}'}\n"},
            "m/this.yaml:2: vars.v: a text that reads it would have 1.1; put it in quotes",
        ),
        ({"this": "extends: base.yaml\nvars: [a]\n"}, "m/this.yaml:2: vars: must be names with values"),
        # use
        (
            {"this": THIS.replace("use: name", "use: nam")},
            "m/this.yaml:8: attributes.first.use: no definition 'nam'; did",
        ),
        (
            {"this": THIS.replace("use: name", "use: clean")},
            "m/this.yaml:8: attributes.first.use: 'clean' stands for fun",
        ),
        (
            {"this": THIS.replace("{use: clean}", "{use: name}")},
            "m/this.yaml:7: attributes.city.apply.use: 'name' stands",
        ),
        (
            {"this": THIS.replace("{use: name,", "{use: name, column: x,")},
            "m/this.yaml:8: attributes.first.column: use: st",
        ),
        (
            {"this": THIS.replace("[trim]", "[{use: name}]")},
            "m/this.yaml:4: define.name.apply[0].use: the definitions use",
        ),
        (
            {"this": THIS.replace("{column: first, apply: [trim]}", "first")},
            "m/this.yaml:4: define.name: must be a list of",
        ),
        (
            {"base": BASE.replace("[trim, lower]", "[trim, {use: clean}]")},
            "m/base.yaml:5: define.clean[1].use: the defini",
        ),
    ],
)
def test_a_fault_names_the_line_that_was_written(write: Write, texts: dict[str, str], fault: str) -> None:
    problems = faults(write(**{"base": BASE, "this": THIS} | texts))
    assert [problem[: len(fault)] for problem in problems] == [fault], problems


def test_a_type_that_does_not_fit_is_told_where_the_value_is_written(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(
        base="operation: identify\nidentifiers: {id: id}\nattributes:\n  a: {column: n, apply: trim}\n",
        this="extends: base.yaml\nexamples:\n  - {row: {id: x, n: 5}, skipped: true}\n",
    )
    assert main(["check", str(path)]) == 78
    assert "m/this.yaml:3: examples[0]: m/base.yaml:4: attributes.a: column 'n': trim needs" in capsys.readouterr().err


def test_a_variable_that_is_missing_is_the_only_fault(write: Write) -> None:
    path = write(base=BASE, this="extends: base.yaml\nidentifiers: {id: '${vars.ky}'}\n")
    assert faults(path) == ["m/this.yaml:2: identifiers.id: no variable 'ky'; did you mean 'key'?"]
    path = write(this="operation: identify\nidentifiers: {id: 'x-${vars.ky}'}\n")
    assert faults(path) == ["m/this.yaml:2: identifiers.id: no variable 'ky'; write vars: {ky: …}"]


def test_definitions_that_grow_beyond_measure_are_refused(write: Write) -> None:
    chains = "".join(f"  c{n}: [{{use: c{n + 1}}}, {{use: c{n + 1}}}]\n" for n in range(40))
    head = "operation: identify\nidentifiers: {id: {column: a, apply: [{use: c0}]}}\n"
    text = f"{head}define:\n{chains}  c40: [trim]\n"
    assert faults(write(this=text)) == [
        "m/this.yaml:1: more than 20,000 values with all that it extends and uses; make it smaller"
    ]


def test_names_of_the_user_are_no_keys_of_ours(write: Write) -> None:
    text = (
        "operation: identify\nidentifiers: {id: id}\nvars: {c: x}\ndefine: {n: {column: a}}\nattributes:\n"
        "  use: {column: '${vars.c}'}\n  apply: {use: n}\n  value: {use: n}\n  object: {use: n}\n"
        "  constant: {value: {use: n, apply: [{use: n}]}}\n"
    )
    attributes = plain_data(write(this=text))["attributes"]
    assert attributes == {
        "use": {"column": "x"},
        "apply": {"column": "a"},
        "value": {"column": "a"},
        "object": {"column": "a"},
        "constant": {"value": {"use": "n", "apply": [{"use": "n"}]}},
    }


def test_a_job_inherits_its_destination_key_by_key_and_no_name_and_no_schedule(write: Write) -> None:
    base = (
        "name: nightly\nschedule: '@daily'\nvars: {file: people}\n"
        "destination: {region: eu, site_id: '${S}', api_key: '${K}', lanes: 4}\nmax_rejects: 2%\n"
        "steps:\n  - {name: people, source: {csv: '${vars.file}.csv'}, mapping: m/map.yaml}\n"
    )
    this = "extends: base.yaml\nvars: {file: others}\ndestination: {lanes: '${LANES:-8}'}\n"
    path = write(base=base, this=this, map="operation: identify\nidentifiers: {id: id}\n")
    job = load_job(path, {"S": "s", "K": "k"})
    assert (job.name, job.schedule, job.destination.lanes, job.destination.region) == ("this", None, 8, "eu")
    assert job.max_rejects.share == 0.02 and "others.csv" in str(job.steps[0].source)
    path.write_text(this.replace("lanes: '${LANES:-8}'", "lanes: 0, region: '${R}'"))
    Path("m/base.yaml").write_text(base.replace("max_rejects: 2%", "max_rejects: x"))
    with pytest.raises(ConfigError) as error:
        load_job(path, {"S": "s", "K": "k"})
    assert [(problem.file, problem.line, problem.path) for problem in error.value.problems] == [
        ("m/this.yaml", 3, "destination.lanes"),
        ("m/this.yaml", 3, "destination.region"),
        ("m/base.yaml", 5, "max_rejects"),
    ]
    path.write_text(this + "define: {clean: [trim]}\n")
    Path("m/base.yaml").write_text(base)
    with pytest.raises(ConfigError, match=r"m/this\.yaml:4: define: a job has no values that could use it"):
        load_job(path, {"S": "s", "K": "k"})


def test_the_plain_form_is_written_as_yaml_that_means_the_same(write: Write) -> None:
    data = {
        "a": ["1", "no", 7, None, True, "x: y #", "ü\n"],
        "b": {"c d": {"e": "f" * 120, "g": ["h" * 80, {"i": []}]}},
        "steps": [{"source": {"query": "select *\n\nfrom t  -- #: x\n  where a\n"}, "when": "a\nand b"}],
        "odd": [{"a": " x\ny"}, {"a": "x \ny"}, {"a": "x\n\n"}, {"a": "\nx"}, {"a": "x\r\ny"}, {"a": "x\n- y: |"}],
    }
    text = yaml_text(data)
    assert plain_data(write(this=text)) == data
    assert "      query: |\n        select *\n\n        from t  -- #: x\n          where a\n" in text
