# SPDX-License-Identifier: Apache-2.0
"""Rules of the source tree that a compiler does not check: who may include whom, how long files and functions may
grow, licence lines, formatting, no machine's paths."""

import os
import pathlib
import re
import shutil
import subprocess
import unittest

ROOT = pathlib.Path(os.environ["ANAMNESIS_SOURCE_DIR"])
TORCH_FOLDERS = {"model", "adapter", "encoder", "quant", "kernels", "collective", "train", "checkpoint", "infer",
                 "merge"}
TORCH_INCLUDE = re.compile(r"^(torch|ATen|c10)/")
RPC_INCLUDE = re.compile(r"^(grpc|grpcpp|google/protobuf)/")
RPC_FOLDERS = ("services/coordinator/", "services/cli/", "services/launch/", "workers/agent/", "common/rpc/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
TARGET = re.compile(r"anam_(?:library|test|program)\(NAME (\S+)[^()]*?SOURCES\s+((?:[\w/]+\.cc\s*)+)")
UNNAMED = re.compile(r"^namespace \{\n(.*?)^\}  // namespace\n", re.MULTILINE | re.DOTALL)
UNNAMED_NAME = re.compile(r"^(?:constexpr [\w:<>, ]+?[ *&](\w+)(?:\[\])? ?[={]|(?:struct|class) (\w+)[^;\n]*\{|using (\w+) =)",
                          re.MULTILINE)
CODE_SUFFIXES = {".cc", ".h", ".rs", ".py", ".cmake", ".sh"}


def tracked_files():
    """Files of the project: tracked or new, never ignored ones."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
                            check=True, capture_output=True, text=True).stdout.split("\n")
    return [name for name in listed if name and (ROOT / name).is_file()]


FILES = tracked_files()
CPP_FILES = [name for name in FILES if name.endswith((".cc", ".h"))]


def unnamed_names(name):
    """Constants and types that a source keeps to itself, with the namespace that they are in."""
    text = (ROOT / name).read_text(encoding="utf-8")
    outer = "".join(re.findall(r"^namespace [\w:]+ \{", text, re.MULTILINE)[:1])
    for block in UNNAMED.findall(text):
        for found in UNNAMED_NAME.findall(block):
            if not found[2]:  # the same alias twice is no error
                yield outer + " " + "".join(found)


def includes_of(name):
    return INCLUDE.findall((ROOT / name).read_text(encoding="utf-8"))


def forbidden_include(name, include):
    """Why the file may not include that header, or None."""
    top = name.split("/", 1)[0]
    target = include.split("/", 1)[0]
    folder = name.split("/")[1] if "/" in name else ""
    if top == "tests":
        return None
    if top == "common" and target in ("services", "workers"):
        return "common includes nothing above it"
    if name.startswith("common/base/") and include.startswith("common/") and not include.startswith("common/base/"):
        return "common/base is under all"
    if {top, target} == {"services", "workers"}:
        return "services and workers never include each other"
    if name.startswith("services/core/") and "/" in include and target in ("services", "common") \
            and not include.startswith(("common/base/", "services/core/")):
        return "services/core includes only common/base"
    if TORCH_INCLUDE.match(include) and not (top == "workers" and folder in TORCH_FOLDERS):
        return "torch only in workers/{" + ",".join(sorted(TORCH_FOLDERS)) + "}"
    if RPC_INCLUDE.match(include) and not name.startswith(RPC_FOLDERS):
        return "gRPC and protobuf only in " + ", ".join(RPC_FOLDERS)
    if target == "tests":
        return "product code includes no test code"
    return None


def function_lengths(text):
    """(first line, length) of every top-level or namespace-level brace block that looks like a function body."""
    start = None
    for number, line in enumerate(text.splitlines(), 1):
        if start is None and line and not line[0].isspace() and line.rstrip().endswith("{") and "(" in line \
                and not line.startswith(("namespace", "struct", "class", "enum", "extern", "#")):
            start = number
        elif start is not None and line.startswith("}"):
            yield start, number - start + 1
            start = None


class TreeLint(unittest.TestCase):
    def test_no_file_includes_what_its_layer_may_not(self):
        broken = [f"{name} includes {include}: {reason}" for name in CPP_FILES for include in includes_of(name)
                  if (reason := forbidden_include(name, include))]
        self.assertEqual(broken, [])

    def test_the_include_rule_knows_the_forbidden_cases(self):
        for name, include in [("common/base/x.h", "workers/model/x.h"), ("services/core/x.cc", "services/store/x.h"),
                              ("workers/stream/x.cc", "torch/torch.h"), ("workers/gang/x.cc", "grpcpp/grpcpp.h"),
                              ("services/cli/x.cc", "workers/contract/plan.h"), ("workers/prep/x.cc", "services/cli/x.h"),
                              ("common/base/x.cc", "common/io/file.h"), ("workers/prep/x.cc", "tests/support/x.h")]:
            self.assertIsNotNone(forbidden_include(name, include), (name, include))
        self.assertIsNone(forbidden_include("workers/model/x.cc", "ATen/ATen.h"))

    def test_no_file_is_longer_than_600_lines(self):
        long = {name: count for name in FILES if pathlib.Path(name).suffix in CODE_SUFFIXES
                if (count := len((ROOT / name).read_text(encoding="utf-8").splitlines())) > 600}
        self.assertEqual(long, {})

    def test_no_function_is_longer_than_80_lines(self):
        long = [f"{name}:{start} ({length} lines)" for name in CPP_FILES if name.endswith(".cc")
                for start, length in function_lengths((ROOT / name).read_text(encoding="utf-8")) if length > 80]
        self.assertEqual(long, [])

    def test_a_main_file_only_wires(self):
        long = [name for name in CPP_FILES if name.endswith("main.cc")
                and len((ROOT / name).read_text(encoding="utf-8").splitlines()) > 120]
        self.assertEqual(long, [])

    def test_every_source_file_names_its_licence(self):
        def unlicensed(name):
            return "SPDX-License-Identifier: Apache-2.0" not in (ROOT / name).read_text(encoding="utf-8")[:200]
        sources = [name for name in FILES if pathlib.Path(name).suffix in CODE_SUFFIXES
                   or pathlib.Path(name).name == "CMakeLists.txt"]
        self.assertGreater(len(sources), 50)
        self.assertEqual([name for name in sources if unlicensed(name)], [])

    def test_headers_are_guarded_once(self):
        broken = [name for name in CPP_FILES if name.endswith(".h")
                  and "#pragma once" not in (text := (ROOT / name).read_text(encoding="utf-8"))
                  and "#ifndef" not in text]
        self.assertEqual(broken, [])

    def test_no_machine_path_or_registry_host_is_committed(self):
        pattern = re.compile(r"/(?:work|root|home)/[a-z]|pypi\.org|crates\.io|pythonhosted|deb\.debian\.org|proxy\.golang")
        allowed = {"tests/lint/tree_lint_test.py", "workers/text/tokenizers_c/Cargo.lock"}
        broken = []
        for name in FILES:
            if name in allowed or pathlib.Path(name).suffix in (".png", ".gz"):
                continue
            for number, line in enumerate((ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if pattern.search(line):
                    broken.append(f"{name}:{number}")
        self.assertEqual(broken, [])

    def test_nothing_large_is_committed(self):
        self.assertEqual([name for name in FILES if (ROOT / name).stat().st_size > 1_000_000], [])

    def test_sources_of_a_target_may_be_compiled_as_one(self):
        """A build in batches sees the unnamed namespaces of several sources as one (ADR 0013)."""
        twice, targets = [], 0
        for lists in (name for name in FILES if name.endswith("CMakeLists.txt")):
            for target, sources in TARGET.findall((ROOT / lists).read_text(encoding="utf-8")):
                owner = {}
                targets += 1
                for source in sources.split():
                    path = (pathlib.PurePosixPath(lists).parent / source).as_posix()
                    for name in set(unnamed_names(path)):
                        if name in owner:
                            twice.append(f"{target}: {name} in {owner[name]} and {source}")
                        owner[name] = source
        self.assertGreater(targets, 50)
        self.assertEqual(twice, [])

    def test_cpp_is_formatted(self):
        tool = shutil.which("clang-format-14")
        self.assertIsNotNone(tool, "clang-format-14 is missing: tools/bootstrap --tests installs it")
        for start in range(0, len(CPP_FILES), 100):
            run = subprocess.run([tool, "--dry-run", "-Werror", *CPP_FILES[start:start + 100]],
                                 cwd=ROOT, capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr[:2000])


if __name__ == "__main__":
    unittest.main()
