"""The outcomes of mapping tests as JUnit XML, which CI systems read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from cio_etl.validate.mapping_tests import Outcome

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcomes: Sequence[Outcome]) -> str:
    """The XML text: a suite for each file, a case for each test; a test that could not be run is an error."""
    by_file: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_file[str(outcome.tests.file)].append(outcome)
    root = Xml.Element("testsuites", _counts(outcomes))
    for file, those in by_file.items():
        suite = Xml.SubElement(root, "testsuite", {"name": _text(file), **_counts(those)})
        for outcome in those:
            names = {"classname": file, "name": outcome.test.name, "file": file, "line": str(outcome.test.line or 1)}
            names["time"] = f"{outcome.seconds:.3f}"
            case = Xml.SubElement(suite, "testcase", {key: _text(value) for key, value in names.items()})
            if outcome.status != "passed":
                tag = "failure" if outcome.status == "failed" else "error"
                fault = Xml.SubElement(case, tag, {"message": _text(outcome.words)})
                fault.text = _text("\n".join([outcome.place, *outcome.lines]))
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _counts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    return {
        "tests": str(len(outcomes)),
        "failures": str(sum(outcome.status == "failed" for outcome in outcomes)),
        "errors": str(sum(outcome.status == "error" for outcome in outcomes)),
        "time": f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    }


def _text(text: str) -> str:
    """The text without the characters that XML cannot hold."""
    return _NOT_XML.sub("�", text)
