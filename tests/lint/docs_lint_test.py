# SPDX-License-Identifier: Apache-2.0
"""Documents that describe code say what the code says: docs/metrics.md, docs/errors.md, docs/api.md, links between
documents."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(os.environ["ANAMNESIS_SOURCE_DIR"])
TELEMETRY = "services/coordinator/telemetry.cc"
BUILT = re.compile(r'Build(Counter|Gauge|Histogram)\(\)\s*\.Name\("(\w+)"\)')
NAMED = re.compile(r'"(anamnesis_[a-z0-9_]+)"')
ROW = re.compile(r"^\| `(anamnesis_\w+)` \| (\w+) \|", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def types_of_code(text):
    """{metric: type}; what is made without a builder is a gauge."""
    types = {name: "gauge" for name in NAMED.findall(text)}
    return types | {name: kind.lower() for kind, name in BUILT.findall(text)}


def upper_snake(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def exit_codes_of_code(text):
    """{code: exit code} of the switch in ExitCodeOf."""
    body = re.search(r"int ExitCodeOf\(.*?\n}", text, re.DOTALL).group()
    codes, pending = {}, []
    for name, code in re.findall(r"StatusCode::k(\w+):|return (\d+);", body):
        if name:
            pending.append(name)
        else:
            codes |= {name: int(code) for name in pending or ["default"]}
            pending = []
    return codes


def function_body(text, name):
    return re.search(rf"\b{name}\(.*?\n}}", text, re.DOTALL).group()


def anchors_of(text):
    """The anchors that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Documents(unittest.TestCase):
    def test_metrics_are_those_of_the_code(self):
        documented = dict(ROW.findall(read("docs/metrics.md")))
        self.assertGreater(len(documented), 10)
        self.assertEqual(documented, types_of_code(read(TELEMETRY)))

    def test_counters_end_in_total_and_nothing_else_does(self):
        for name, kind in types_of_code(read(TELEMETRY)).items():
            self.assertEqual(name.endswith("_total"), kind == "counter", name)

    def test_metrics_are_made_in_one_place(self):
        makers = [str(path.relative_to(ROOT)) for top in ("services", "workers", "common")
                  for path in (ROOT / top).rglob("*.cc")
                  if re.search(r"\bBuild(Counter|Gauge|Histogram)\(", path.read_text(encoding="utf-8"))]
        self.assertEqual(makers, [TELEMETRY])

    def test_errors_are_those_of_the_code(self):
        rows = re.findall(r"^\| `k(\w+)` \|[^|]+\| ([^|]+) \| (\d+) \| (?:`(\w+)` )?\|$", read("docs/errors.md"),
                          re.MULTILINE)
        codes = exit_codes_of_code(read("common/base/status.cc"))
        self.assertEqual(len(rows), 17)
        for name, _, exit_code, reason in rows:
            self.assertEqual(int(exit_code), codes.get(name, codes["default"]), name)
            self.assertEqual(reason, "" if name == "Ok" else upper_snake(name))
        # Who is told when to try again.
        told = set(re.findall(r"StatusCode::k(\w+)", function_body(read("common/rpc/status.cc"), "DefaultRetryDelay")))
        retried = {name for name, retry, _, _ in rows if retry.startswith("yes")}
        self.assertLessEqual(told, retried)
        for name in told:
            self.assertRegex(read("docs/errors.md"), rf"`RetryInfo` for[^.]*`k{name}`")

    def test_typed_details_are_documented(self):
        urls = {name for top in ("services", "common") for path in (ROOT / top).rglob("*.cc")
                for name in re.findall(r'"anamnesis\.v1/(\w+)"', path.read_text(encoding="utf-8"))}
        self.assertIn("stale_epoch", urls)
        for name in urls - {"field_violations"}:  # those are BadRequest
            self.assertIn(f"`{name.upper()}`", read("docs/errors.md"))

    def test_reasons_of_failures_are_those_of_the_code(self):
        documented = dict(re.findall(r"^\| `([a-z_]+)` \|[^|]+\| (yes|no) \|", read("docs/errors.md"), re.MULTILINE))
        enum = re.search(r"enum class Reason \{(.*?)\};", read("services/core/job.h"), re.DOTALL).group(1)
        names = re.findall(r"k(\w+),", enum)
        failures = set(names[names.index("RankFailed"):names.index("Internal") + 1]) - {"EqualFailures"}
        final = set(re.findall(r"Reason::k(\w+)", function_body(read("services/core/failure_rule.cc"), "ComesAgain")))
        self.assertEqual(documented, {upper_snake(name).lower(): "no" if name in final else "yes" for name in failures})

    def test_the_api_reference_is_that_of_the_protos(self):
        made = subprocess.run([sys.executable, ROOT / "tools/api_reference.py"], stdout=subprocess.PIPE, text=True,
                              check=True).stdout
        self.assertTrue(read("docs/api.md") == made, "run tools/api_reference.py > docs/api.md")

    def test_links_between_documents_lead_somewhere(self):
        broken = []
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
            text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
            for target, anchor in LINK.findall(text):
                if "://" in target:
                    continue
                there = path.parent / target if target else path
                if not there.exists() or (anchor and anchor not in anchors_of(there.read_text(encoding="utf-8"))):
                    broken.append(f"{path.relative_to(ROOT)}: {target}#{anchor}")
        self.assertEqual(broken, [])


if __name__ == "__main__":
    unittest.main()
