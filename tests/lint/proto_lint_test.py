# SPDX-License-Identifier: Apache-2.0
"""The protos keep buf's STANDARD lint rules (each problem carries its rule's name), as far as their text can tell, and
two rules of ours: a number that is not used is reserved, and no number is given twice."""

import importlib.util
import os
import pathlib
import re
import unittest

ROOT = pathlib.Path(os.environ["ANAMNESIS_SOURCE_DIR"])
spec = importlib.util.spec_from_file_location("api_reference", ROOT / "tools/api_reference.py")
api_reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(api_reference)

PASCAL = re.compile(r"[A-Z][A-Za-z0-9]*$")
LOWER = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*$")
UPPER = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$")


def upper_snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def file_problems(proto):
    folder, name = proto.path.rsplit("/", 1)
    if folder != "proto/" + proto.package.replace(".", "/"):
        yield f"PACKAGE_DIRECTORY_MATCH {proto.package}"
    if not re.search(r"\.v\d+$", proto.package):
        yield f"PACKAGE_VERSION_SUFFIX {proto.package}"
    if not LOWER.match(name.removesuffix(".proto")):
        yield f"FILE_LOWER_SNAKE_CASE {name}"
    for item in proto.imports:
        if item.startswith(("public ", "weak ")):
            yield f"IMPORT_NO_{item.split(' ')[0].upper()} {item}"


def enum_problems(enum):
    prefix = upper_snake(enum.name) + "_"
    if not enum.members or enum.members[0].number != 0 or enum.members[0].name != prefix + "UNSPECIFIED":
        yield f"ENUM_ZERO_VALUE_SUFFIX {enum.name}"
    for value in enum.members:
        if not value.name.startswith(prefix):
            yield f"ENUM_VALUE_PREFIX {value.name}"
        if not UPPER.match(value.name):
            yield f"ENUM_VALUE_UPPER_SNAKE_CASE {value.name}"


def service_problems(service):
    if not service.name.endswith("Service"):
        yield f"SERVICE_SUFFIX {service.name}"
    for rpc in service.members:
        if not PASCAL.match(rpc.name):
            yield f"RPC_PASCAL_CASE {rpc.name}"
        for side, name in (("Request", rpc.request), ("Response", rpc.response)):
            if name not in (rpc.name + side, service.name + rpc.name + side):
                yield f"RPC_{side.upper()}_STANDARD_NAME {name}"


def message_problems(message):
    for field in message.members:
        if not LOWER.match(field.name):
            yield f"FIELD_LOWER_SNAKE_CASE {message.name}.{field.name}"
        if field.oneof and not LOWER.match(field.oneof):
            yield f"ONEOF_LOWER_SNAKE_CASE {message.name}.{field.oneof}"


def number_problems(block):
    numbers = [member.number for member in block.members]
    if len(set(numbers)) != len(numbers) or set(numbers) & set(block.reserved):
        yield f"number given twice in {block.name}"
    first = 0 if block.kind == "enum" else 1
    missing = set(range(first, max(numbers, default=0) + 1)) - set(numbers) - set(block.reserved)
    if missing:
        yield f"neither used nor reserved in {block.name}: {sorted(missing)}"


def problems(protos):
    found, seen = [], {}
    for proto in protos:
        found += file_problems(proto)
        for block in proto.blocks:
            if not PASCAL.match(block.name):
                found.append(f"{block.kind.upper()}_PASCAL_CASE {block.name}")
            if block.kind == "service":
                found += service_problems(block)
                for rpc in block.members:
                    for name in (rpc.request, rpc.response):
                        if seen.setdefault(name, rpc.name) != rpc.name:
                            found.append(f"RPC_REQUEST_RESPONSE_UNIQUE {name}")
                continue
            found += enum_problems(block) if block.kind == "enum" else message_problems(block)
            found += number_problems(block)
    return found


BAD = """syntax = "proto3";
package anamnesis.v1;
import public "x.proto";
service Jobs {
  rpc get(GetRequest) returns (Answer);
  rpc Put(Answer) returns (PutResponse);
}
enum JobState {
  QUEUED = 0;
  JOB_STATE_done = 2;
}
message job_spec {
  string Name = 1;
  string other = 1;
  oneof Which {
    string left = 3;
  }
}
"""


class ProtoLint(unittest.TestCase):
    def test_the_protos_keep_the_rules(self):
        protos = api_reference.read_all(ROOT)
        self.assertGreater(sum(len(proto.blocks) for proto in protos), 30)
        self.assertEqual(problems(protos), [])

    def test_imports_are_used(self):
        unused = []
        for path in (ROOT / "proto").rglob("*.proto"):
            text = path.read_text(encoding="utf-8")
            for name in api_reference.parse(str(path), text).imports:
                defined = {block.name for proto in api_reference.read_all(ROOT) if proto.path == "proto/" + name
                           for block in proto.blocks}
                if name.startswith("google/protobuf/"):
                    defined = {"google.protobuf." + pathlib.Path(name).stem.capitalize()}
                if not any(re.search(rf"\b{re.escape(word)}\b", text) for word in defined):
                    unused.append(f"{path.name}: {name}")
        self.assertEqual(unused, [])

    def test_each_rule_finds_its_case(self):
        found = " ".join(problems([api_reference.parse("proto/other/Bad.proto", BAD)]))
        for rule in ("PACKAGE_DIRECTORY_MATCH", "FILE_LOWER_SNAKE_CASE", "IMPORT_NO_PUBLIC", "SERVICE_SUFFIX",
                     "RPC_PASCAL_CASE", "RPC_REQUEST_STANDARD_NAME", "RPC_RESPONSE_STANDARD_NAME",
                     "RPC_REQUEST_RESPONSE_UNIQUE", "ENUM_ZERO_VALUE_SUFFIX", "ENUM_VALUE_PREFIX QUEUED",
                     "ENUM_VALUE_UPPER_SNAKE_CASE", "MESSAGE_PASCAL_CASE", "FIELD_LOWER_SNAKE_CASE",
                     "ONEOF_LOWER_SNAKE_CASE", "given twice", "neither used nor reserved"):
            self.assertIn(rule, found)
        self.assertIn("PACKAGE_VERSION_SUFFIX", " ".join(file_problems(api_reference.parse(
            "proto/a/b.proto", 'syntax = "proto3";\npackage a;\n'))))

    def test_a_line_that_is_not_understood_is_an_error(self):
        with self.assertRaises(ValueError):
            api_reference.parse("x.proto", "message A {\n  string a = 1 [deprecated = true];\n}\n")


if __name__ == "__main__":
    unittest.main()
