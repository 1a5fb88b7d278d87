#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints docs/api.md: every service, message and enum of proto/anamnesis/v1 with its comments. Reads the text of the
protos, which keep to one declaration a line; a line that it does not understand is an error.

usage: tools/api_reference.py > docs/api.md"""

import dataclasses
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVICES_FIRST = ("job_service", "checkpoint_service", "cluster_service", "worker_service", "job")

BLOCK = re.compile(r"(service|message|enum|oneof) (\w+) \{(\})?$")
RPC = re.compile(r"rpc (\w+)\((stream )?(\w+)\) returns \((stream )?(\w+)\);$")
FIELD = re.compile(r"(repeated |optional )?(map<\w+, [\w.]+>|[\w.]+) (\w+) = (\d+);(?:\s*// (.*))?$")
VALUE = re.compile(r"(\w+) = (\d+);(?:\s*// (.*))?$")
HEAD = re.compile(r'(syntax|package|import|reserved)\b (.*);$')


@dataclasses.dataclass
class Member:
    """A field, an enum value or an rpc."""
    name: str
    comment: str
    number: int = 0
    type: str = ""
    label: str = ""   # repeated, optional
    oneof: str = ""
    request: str = ""
    response: str = ""
    request_stream: bool = False
    response_stream: bool = False


@dataclasses.dataclass
class Block:
    kind: str
    name: str
    comment: str
    members: list
    reserved: list


@dataclasses.dataclass
class Proto:
    path: str
    comment: str
    package: str
    imports: list
    blocks: list


def parse(path, text):
    """One proto as a Proto. ValueError names the line that is not understood."""
    proto = Proto(path, "", "", [], [])
    comment, block, oneof = [], None, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("//"):
            comment.append(line[2:].strip())
            continue
        said, comment = " ".join(comment), []
        if not line:
            continue
        if match := HEAD.match(line):
            kind, value = match.groups()
            if kind == "syntax":
                proto.comment = said.replace("SPDX-License-Identifier: Apache-2.0 ", "")
            elif kind == "package":
                proto.package = value
            elif kind == "import":
                proto.imports.append(value.strip('"'))
            else:
                block.reserved += [int(item) for item in re.findall(r"\d+", value)]
        elif match := BLOCK.match(line):
            kind, name, closed = match.groups()
            if kind == "oneof" and block:
                oneof = name
            elif block:
                raise ValueError(f"{path}:{number}: {kind} {name} within {block.name}")
            else:
                proto.blocks.append(Block(kind, name, said, [], []))
                block = None if closed else proto.blocks[-1]
        elif line == "}" and block:
            block, oneof = (block, "") if oneof else (None, "")
        elif block and block.kind == "service" and (match := RPC.match(line)):
            name, request_stream, request, response_stream, response = match.groups()
            block.members.append(Member(name, said, request=request, response=response,
                                        request_stream=bool(request_stream), response_stream=bool(response_stream)))
        elif block and block.kind == "enum" and (match := VALUE.match(line)):
            name, value, trailing = match.groups()
            block.members.append(Member(name, trailing or said, int(value)))
        elif block and block.kind == "message" and (match := FIELD.match(line)):
            label, kind, name, value, trailing = match.groups()
            block.members.append(Member(name, trailing or said, int(value), kind, (label or "").strip(), oneof))
        else:
            raise ValueError(f"{path}:{number}: not understood: {line}")
    return proto


def read_all(root=ROOT):
    """The project's protos, services first."""
    def order(path):
        return SERVICES_FIRST.index(path.stem) if path.stem in SERVICES_FIRST else len(SERVICES_FIRST), path.stem
    return [parse(str(path.relative_to(root)), path.read_text(encoding="utf-8"))
            for path in sorted((root / "proto").rglob("*.proto"), key=order)]


def cell(text):
    return text.replace("|", r"\|").replace("<", r"\<").replace(">", r"\>")


def type_text(kind, known):
    if kind.startswith("map<"):
        key, value = kind[4:-1].split(", ")
        return f"map of {key} to {type_text(value, known)}"
    if kind in known:
        return f"[{kind}](#{kind.lower()})"
    return kind.replace("google.protobuf.", "")


def block_lines(block, known):
    yield from (f"### {block.name}", "")
    if block.comment:
        yield from (cell(block.comment), "")
    if not block.members:
        yield from ("No fields.", "")
        return
    if block.kind == "service":
        yield from ("| rpc | request | response | meaning |", "|---|---|---|---|")
        for rpc in block.members:
            sides = [("stream of " if stream else "") + type_text(name, known)
                     for name, stream in ((rpc.request, rpc.request_stream), (rpc.response, rpc.response_stream))]
            yield f"| `{rpc.name}` | {sides[0]} | {sides[1]} | {cell(rpc.comment)} |"
    elif block.kind == "enum":
        yield from ("| value | number | meaning |", "|---|---|---|")
        for value in block.members:
            yield f"| `{value.name}` | {value.number} | {cell(value.comment)} |"
    else:
        yield from ("| field | number | type | meaning |", "|---|---|---|---|")
        for field in block.members:
            kind = " ".join(part for part in (field.label, type_text(field.type, known)) if part)
            kind += f", one of `{field.oneof}`" if field.oneof else ""
            yield f"| `{field.name}` | {field.number} | {kind} | {cell(field.comment)} |"
    yield ""


def render(protos):
    known = {block.name for proto in protos for block in proto.blocks}
    lines = ["# The API, field by field", "",
             "Made by `tools/api_reference.py > docs/api.md` from [proto/anamnesis/v1](../proto/anamnesis/v1); a test "
             "keeps them equal. Package `" + protos[0].package + "`. Errors: [errors.md](errors.md). Beside these the "
             "coordinator serves gRPC's health service and server reflection.", ""]
    for proto in protos:
        lines += ["## " + proto.path.rsplit("/", 1)[-1], "", cell(proto.comment), ""]
        for block in proto.blocks:
            lines += block_lines(block, known)
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    sys.stdout.write(render(read_all()))
