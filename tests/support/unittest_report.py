# SPDX-License-Identifier: Apache-2.0
"""Runs one unittest script and writes its results as GoogleTest XML where $GTEST_OUTPUT (xml:DIR/) asks for it, so
that `check` counts C++ and Python tests alike. Usage: unittest_report.py SCRIPT.py"""

import importlib.util
import os
import pathlib
import sys
import unittest
from xml.sax.saxutils import quoteattr


class RecordingResult(unittest.TextTestResult):
    """Remembers every test with its outcome."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.rows = []

    def addSuccess(self, test):
        super().addSuccess(test)
        self.rows.append((test.id(), "passed", ""))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.rows.append((test.id(), "skipped", reason))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.rows.append((test.id(), "failed", "assertion failed"))

    def addError(self, test, err):
        super().addError(test, err)
        self.rows.append((test.id(), "failed", "error"))


def write_report(rows, suite, target):
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites><testsuite name={quoteattr(suite)}>"]
    for name, outcome, message in rows:
        inner = {"passed": "", "failed": f"<failure message={quoteattr(message)}/>",
                 "skipped": f"<skipped message={quoteattr(message)}/>"}[outcome]
        case = name.split(".", 1)[-1]
        lines.append(f"<testcase classname={quoteattr(suite)} name={quoteattr(case)}>{inner}</testcase>")
    lines.append("</testsuite></testsuites>")
    target.write_text("\n".join(lines), encoding="utf-8")


def main():
    script = pathlib.Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(script.parent))
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    spec.loader.exec_module(module)
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    if suite.countTestCases() == 0:
        print(f"{script}: holds no test")
        return 1
    result = unittest.TextTestRunner(resultclass=RecordingResult, verbosity=2).run(suite)
    output = os.environ.get("GTEST_OUTPUT", "")
    if output.startswith("xml:"):
        folder = pathlib.Path(output[4:])
        folder.mkdir(parents=True, exist_ok=True)
        write_report(result.rows, script.stem, folder / f"{script.stem}.xml")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
