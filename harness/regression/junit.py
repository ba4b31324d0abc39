"""Checks as JUnit XML, as pytest writes it: a test case a check, a failure a regression."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from harness.regression.check import Check
from harness.regression.snapshot import System
from harness.regression.words import alarm_line, values
from harness.text import printable

_SUITE = "harness regress"


def junit_text(checks: Sequence[Check], skipped: Sequence[tuple[System, str]]) -> str:
    """The XML document.

    Args:
        checks: All checks.
        skipped: Baselines that were not compared, and why.
    """
    suites = ElementTree.Element("testsuites", name=_SUITE)
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        name=_SUITE,
        errors="0",
        failures=str(sum(check.alarms for check in checks)),
        skipped=str(len(skipped)),
        tests=str(len(checks) + len(skipped)),
        time="0.000",
    )
    for check in checks:
        case = _case(suite, check.system, f"{check.place} {check.figure}")
        if check.alarms:
            failure = ElementTree.SubElement(
                case, "failure", message=alarm_line(check), type=check.kind
            )
            failure.text = "baseline {}\nrun {}".format(*values(check))
    for system, reason in skipped:
        case = _case(suite, system, "baseline")
        ElementTree.SubElement(case, "skipped", message=printable(reason), type=_SUITE)
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, "unicode") + "\n"
    )


def _case(suite: ElementTree.Element, system: System, name: str) -> ElementTree.Element:
    # Viewers part a class name at its dots, and models and tasks have dots of their own.
    parts = (part.replace(".", "_") for part in (system.task, system.model, system.mode))
    return ElementTree.SubElement(
        suite, "testcase", classname=printable(".".join(parts)), name=printable(name), time="0.000"
    )
