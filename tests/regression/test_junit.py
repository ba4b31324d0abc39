"""The XML beside that of pytest itself."""

import subprocess
import sys
from xml.etree import ElementTree

import pytest

from harness.regression.check import Check, Verdict
from harness.regression.junit import junit_text
from harness.regression.snapshot import System

SYSTEM = System("toy", "org/model-v1.5", "dense")
TESTS = """
import pytest
def test_passes(): pass
def test_fails(): assert False
@pytest.mark.skip(reason="why")
def test_is_skipped(): pass
"""


def check(verdict=Verdict.REGRESSION, **more):
    more = {"baseline": 0.5, "value": 0.49, "allowed": 0.005} | more
    return Check(
        **{"system": SYSTEM, "place": "test/default", "kind": "quality", "figure": "ndcg_at_10"}
        | more,
        verdict=verdict,
    )


def parsed(checks, skipped=()):
    return ElementTree.fromstring(junit_text(checks, skipped).encode())


def test_one_case_a_check():
    size = check(Verdict.EQUAL, kind="cost", figure="index_bytes", baseline=5, value=5)
    root = parsed([check(), size], [(System("toy", "m", "gone"), "not in this run")])
    (suite,) = root
    assert suite.attrib == {
        "name": "harness regress",
        "errors": "0",
        "failures": "1",
        "skipped": "1",
        "tests": "3",
        "time": "0.000",
    }
    assert [(case.get("classname"), case.get("name")) for case in suite] == [
        ("toy.org/model-v1_5.dense", "test/default ndcg_at_10"),
        ("toy.org/model-v1_5.dense", "test/default index_bytes"),
        ("toy.m.gone", "baseline"),
    ]
    failed, passed, skipped = suite
    assert list(passed) == []
    assert failed[0].tag == "failure"
    assert failed[0].attrib == {
        "message": "toy (test/default), dense: nDCG@10 0.5000 → 0.4900 (-0.0100, allowed 0.0050)",
        "type": "quality",
    }
    assert failed[0].text == "baseline 0.5000\nrun 0.4900"
    assert (skipped[0].tag, skipped[0].get("message")) == ("skipped", "not in this run")


@pytest.fixture(scope="module")
def from_pytest(tmp_path_factory):
    """What pytest writes of a test that passes, one that fails and one that is skipped."""
    folder = tmp_path_factory.mktemp("pytest")
    (folder / "test_three.py").write_text(TESTS)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=three.xml"],
        cwd=folder,
        check=False,
        capture_output=True,
    )
    return ElementTree.parse(folder / "three.xml").getroot()


def shape(root):
    """Paths of tags with the attributes that they have."""
    found = {}

    def walk(element, path):
        found.setdefault(path, set()).update(element.attrib)
        for child in element:
            walk(child, f"{path}/{child.tag}")

    walk(root, root.tag)
    return found


def test_elements_and_attributes_are_those_of_pytest(from_pytest):
    ours = shape(parsed([check(), check(Verdict.EQUAL)], [(SYSTEM, "why")]))
    theirs = shape(from_pytest)
    assert ours.keys() == theirs.keys()
    # pytest's failures have no type, which its schema knows; a suite's host and hour are the run's.
    theirs["testsuites/testsuite/testcase/failure"].add("type")
    theirs["testsuites/testsuite"] -= {"hostname", "timestamp"}
    assert ours == theirs


def test_texts_from_outside_are_escaped():
    hostile = System('a<b>&"\x00\ud800\ufffe', "m", "]]>")
    root = parsed([check(system=hostile)])
    case = root[0][0]
    assert case.get("classname") == 'a<b>&"\\x00\\ud800\\ufffe.m.]]>'
    assert case[0].get("message").startswith('a<b>&"\\x00\\ud800\\ufffe (test/default), ]]>: ')
