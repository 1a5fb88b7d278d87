# SPDX-License-Identifier: Apache-2.0
"""Counts a test run: reads CTest's JUnit file and the GoogleTest XML files that the test programs wrote, holds every
skip against tests/skips.txt, prints what failed, one line per reason to skip, and `N passed, N failed, N skipped` as the
last line. Exit 1 when anything failed, was skipped without being listed, or when nothing ran.

Usage: test_summary.py CTEST_JUNIT.xml GTEST_XML_DIRECTORY SKIPS.txt"""

import collections
import fnmatch
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def read_allowed_skips(path):
    """Lines `PATTERN | reason`; # starts a comment. A skip is allowed when its test matches a pattern with its reason."""
    allowed = []
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.split("#", 1)[0].strip()
        if line:
            pattern, reason = (part.strip() for part in line.split("|", 1))
            allowed.append((pattern, reason))
    return allowed


def read_cases(path):
    """Yields (name, outcome, message) of one GoogleTest XML file."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{path.stem}.{case.get('classname')}.{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None:
            yield name, "failed", ""
        elif skipped is not None:
            message = (skipped.get("message") or skipped.text or "").strip().splitlines()
            yield name, "skipped", message[-1].strip() if message else ""
        elif case.get("status") == "notrun":
            continue
        else:
            yield name, "passed", ""


def main():
    junit, xml_directory, skips_file = (pathlib.Path(argument) for argument in sys.argv[1:4])
    allowed = read_allowed_skips(skips_file)
    counts = collections.Counter()
    failures = []
    skip_reasons = collections.Counter()
    reported = set()
    for path in sorted(xml_directory.glob("*.xml")):
        reported.add(path.stem)
        for name, outcome, message in read_cases(path):
            if outcome == "skipped" and not any(
                    fnmatch.fnmatch(name, pattern) and message == reason for pattern, reason in allowed):
                outcome = "failed"
                failures.append(f"{name}: skipped, but not listed in {skips_file.name}: {message!r}")
            elif outcome == "failed":
                failures.append(name)
            elif outcome == "skipped":
                skip_reasons[message] += 1
            counts[outcome] += 1
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        name = case.get("name")
        if case.get("status") == "run" and name in reported:
            continue
        if case.get("status") == "run":
            counts["passed"] += 1  # a program that reports no cases of its own
        elif case.get("status") == "fail" and not any(f.startswith(f"{name}.") for f in failures):
            counts["failed"] += 1
            failures.append(f"{name}: crashed or ran out of time")
        elif case.get("status") in ("notrun", "disabled"):
            counts["failed"] += 1
            failures.append(f"{name}: did not run")
    for failure in failures:
        print(f"FAILED {failure}")
    for reason, number in sorted(skip_reasons.items()):
        print(f"skipped: {reason} ({number})")
    total = sum(counts.values())
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}")
    return 1 if counts["failed"] or not total else 0


if __name__ == "__main__":
    sys.exit(main())
