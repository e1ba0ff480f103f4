"""JUnit XML: what fails, what passes, and that readers can read it, whatever a server has said."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import exported_run
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import record

from harness import export
from harness.export.junit import text
from harness.record import TokenSource

# Elements with their attributes (required ones first) and children: src/main/resources/org/jenkinsci/plugins/xunit/types/
# model/xsd/junit-10.xsd of jenkinsci/xunit-plugin, which Jenkins reads by; GitLab reads a part of the same.
SCHEMA: Final[Mapping[str, tuple[set[str], set[str], set[str]]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url", "version"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": ({"name"}, {"time", "classname", "group"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    "failure": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}  # fmt: skip


def checked(document: str) -> ET.Element:
    """The suite of a document that is valid by the schema, its counts being true."""
    root = ET.fromstring(document)  # noqa: S314  our own
    assert root.tag == "testsuites"
    for element in root.iter():
        required, optional, children = SCHEMA[element.tag]
        assert required <= set(element.attrib) <= required | optional
        assert {child.tag for child in element} <= children
        if children:  # only the others may hold text
            assert not (element.text or "").strip()
    [suite] = root
    cases = suite.findall("testcase")
    for one in (root, suite):
        assert int(one.get("tests", "")) == len(cases)
        assert int(one.get("failures", "")) == sum(case.find("failure") is not None for case in cases)
    return suite


def verdicts(document: str) -> dict[str, str | None]:
    """Each test's failure, by name: its type and message; None for a test that passed."""
    found = {}
    for case in checked(document).findall("testcase"):
        failure = case.find("failure")
        found[case.get("name", "")] = (
            None if failure is None else f"{failure.get('type')}: {failure.get('message')}"
        )
    assert len(found) == len(checked(document).findall("testcase"))
    return found


def level(number: int, *slos: tuple[str, float | None, bool | None]) -> dict:
    """A level of summary.json as far as a test looks at it."""
    return {
        "level": number,
        "title": f"{number} users",
        "slo": [
            {"slo": name, "value": value, "limit": 2000.0, "unit": "ms", "n": 40, "few": False, "met": met}
            for name, value, met in slos
        ],
    }


def summary(**fields: object) -> dict:
    """A run in which all is well."""
    return {
        "run_id": "r",
        "complete": True,
        "incomplete": [],
        "verdict": {"status": "valid", "reasons": []},
        "totals": {"succeeded": 40, "failed": 0, "cancelled": 0, "unsent": 0},
        "levels": [],
        "slo": None,
    } | fields


def test_each_level_has_a_test_for_each_service_level() -> None:
    """A miss has value and limit; what could not be judged fails as well, since a gate that could not look stays shut."""
    levels = [
        level(1, ("ttft_p95<2s", 1200.0, True), ("e2e_p95<2s", None, None)),
        level(8, ("ttft_p95<2s", 2340.0, False), ("e2e_p95<2s", 1999.0, True)),
    ]
    made = text(summary(levels=levels, slo={"asked": ["ttft_p95<2s", "e2e_p95<2s"]}), {})
    assert verdicts(made) == {
        "complete": None,
        "verdict": None,
        "requests": None,
        "1 users: ttft_p95<2s": None,
        "1 users: e2e_p95<2s": "not judged: could not be judged: nothing was measured",
        "8 users: ttft_p95<2s": "missed: 2340 ms, limit 2000 ms, n 40",
        "8 users: e2e_p95<2s": None,
    }


@pytest.mark.parametrize(
    ("fields", "name", "said"),
    [
        ({"verdict": {"status": "invalid", "reasons": ["a", "b"]}}, "verdict", "invalid: a"),
        ({"verdict": {"status": "suspect", "reasons": ["a"]}}, "verdict", None),
        ({"complete": False, "incomplete": ["interrupted"]}, "complete", "incomplete: interrupted"),
        ({"complete": False}, "complete", "incomplete: results are missing"),
        (
            {"totals": {"succeeded": 0, "failed": 3, "cancelled": 0, "unsent": 0}},
            "requests",
            "failed: none succeeded",
        ),
        ({"totals": {"succeeded": 1, "failed": 39, "cancelled": 0, "unsent": 0}}, "requests", None),
        ({"slo": {"asked": ["ttft_p95<2s"]}}, "ttft_p95<2s", "not judged: could not be judged: nothing was measured"),
        ({"search": {"value": None, "answer": "none held"}}, "search", "missed: none held"),
        ({"search": {"value": 8.0, "answer": "8 users hold"}}, "search", None),
    ],
)  # fmt: skip
def test_what_fails_a_run_fails_a_test(fields: dict, name: str, said: str | None) -> None:
    """And nothing else does: failed requests are for an SLO to judge, and the doubts of a suspect run are told."""
    found = verdicts(text(summary(**fields), {}))
    assert found.pop(name) == said
    assert set(found.values()) <= {None}


def test_a_search_is_not_judged_by_what_it_tried() -> None:
    """Levels beyond its answer miss: that is how it found it."""
    tried = summary(
        levels=[level(9, ("ttft_p95<2s", 9000.0, False))], search={"value": 8.0, "answer": "8 users"}
    )
    assert verdicts(text(tried, {})) == dict.fromkeys(("complete", "verdict", "requests", "search"))


def test_doubts_and_failures_are_told() -> None:
    """The reasons of a suspect verdict, and the kinds of failure, in the tests' output."""
    kinds = [{"count": 3, "error_class": "overload", "http_status": 429, "message": "busy"}]
    totals = {"succeeded": 1, "failed": 3, "cancelled": 0, "unsent": 0}
    verdict = {"status": "suspect", "reasons": ["few requests"]}
    suite = checked(text(summary(verdict=verdict, failures=kinds, totals=totals), {}))
    out = {case.get("name"): case.findtext("system-out") for case in suite.findall("testcase")}
    assert out["verdict"] == "suspect\nfew requests"
    assert out["requests"].splitlines() == [
        "1 succeeded, 3 failed, 0 cancelled, 0 unsent",
        "count 3, error_class overload, http_status 429, message busy",
    ]


def test_a_real_summary_and_its_run(tmp_path: Path) -> None:
    """The suite says which run, when and where; names do not change from run to run, so that a history can be kept."""
    made = exported_run.make(
        tmp_path, slo=["ttft_p50<1ms", "mlperf:llama2-70b", "error_rate<50%"], run_name="v1.2", labels={"gpu": "a100"}
    )  # fmt: skip
    export.write_junit(made, made / "junit.xml")
    document = (made / "junit.xml").read_text()
    assert document.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    suite = checked(document)
    assert {name: suite.get(name) for name in ("name", "timestamp", "time", "hostname")} == {
        "name": made.name,
        "timestamp": "2026-11-21T10:15:00",
        "time": "90.500",
        "hostname": "bench-1",
    }
    told = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert (told["model"], told["label.gpu"], told["run_name"]) == ("org/Model_8B-it", "a100", "v1.2")
    assert {case.get("classname") for case in suite.findall("testcase")} == {"tokenswarm.v1-2"}
    found = verdicts(document)
    assert made.name not in "".join(found)
    assert len(found) == 3 + 3 * 4
    assert found["2 users: ttft_p50<1ms"].startswith("missed: 37.1 ms, limit 1.0 ms, n ")
    assert found["2 users: tpot_p99<=200ms (mlperf:llama2-70b)"] is None


@given(said=st.text(max_size=60))
@pytest.mark.parametrize(
    "hostile", ["]]></failure><x/>", "\x00\x1b[2J\x0b", "\u202e\ufffe\uffff", "<!DOCTYPE a>&b;"]
)
def test_whatever_is_said_the_document_is_valid(hostile: str, said: str) -> None:
    """Control characters, non-characters, direction marks and markup in every text that comes from outside."""
    evil = hostile + said
    fields = {
        "run_id": evil,
        "verdict": {"status": "invalid", "reasons": [evil]},
        "complete": False,
        "incomplete": [evil],
        "failures": [{"count": 1, "error_class": "http_server", "http_status": 500, "message": evil}],
        "levels": [{**level(1, (evil, 1.0, False)), "title": evil}],
    }
    settings = {"model": evil, "run_name": evil, "labels": {evil: evil}}
    document = text(summary(**fields), {"settings": settings, "host": {"name": evil}, "started_at": evil})
    suite = checked(document)
    assert "<x/>" not in document
    assert "\u202e" not in document
    assert all(character.isprintable() or character == "\n" for character in document)
    assert suite.get("timestamp") is None


def test_a_megabyte_is_cut(tmp_path: Path) -> None:
    """Nothing from outside is longer than what anybody reads."""
    document = text(summary(incomplete=["x" * 1_000_000], complete=False, run_id="y" * 1_000_000), {})
    assert len(document) < 5_000
    checked(document)


def test_a_run_without_a_success(tmp_path: Path) -> None:
    """Of an empty run each service level could not be judged."""
    made = exported_run.make(
        tmp_path, [record("a", phase="warmup", token_source=TokenSource.SERVER)], [], slo=["ttft_p95<2s"]
    )
    export.write_junit(made, tmp_path / "j.xml")
    found = verdicts((tmp_path / "j.xml").read_text())
    assert found["ttft_p95<2s"] == "not judged: could not be judged: nothing was measured"
