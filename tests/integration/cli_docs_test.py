# SPDX-License-Identifier: Apache-2.0
"""docs/cli.md names every flag that a command's --help names, and no other."""

import os
import pathlib
import re
import subprocess
import unittest

SOURCE = pathlib.Path(os.environ["ANAMNESIS_SOURCE_DIR"])
BIN = pathlib.Path(os.environ["ANAMNESIS_BIN_DIR"])
FLAG = re.compile(r"--[a-z]+(?:-[a-z]+)*")


def flags_of_help(command):
    done = subprocess.run([BIN / "anamnesis", *command.split(), "--help"], stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("  -")]
    return {flag for words in lines for flag in FLAG.findall(words[0])} - {"--help"}


def flags_of_document(command):
    found = set()
    for line in (SOURCE / "docs/cli.md").read_text().splitlines():
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        if len(cells) == 2 and cells[0].startswith(f" `anamnesis {command} "):
            found |= set(FLAG.findall(cells[0]))
        elif len(cells) == 3 and f"`{command}`" in cells[0]:
            found |= set(FLAG.findall(cells[1]))
    return found


# Told once, in the text.
COMMON = {"--coordinator", "--output", "--follow"}


class Document(unittest.TestCase):
    def test_the_flags_are_those_of_the_help(self):
        for command in ("run", "predict", "synth", "prepare", "validate", "render", "pull", "config explain",
                        "config schema", "config check"):
            with self.subTest(command):
                self.assertEqual(flags_of_document(command), flags_of_help(command))

    def test_the_flags_of_inference_are_those_of_the_help(self):
        if (BIN / "anamnesis-rank").exists():  # not built without Torch
            for command in ("generate", "merge"):
                self.assertEqual(flags_of_document(command), flags_of_help(command))

    def test_the_flags_of_the_service_are_those_of_the_help(self):
        for command in ("up", "down", "submit", "list", "get", "describe", "explain", "wait", "watch", "logs", "metrics", "cancel",
                        "pause", "resume", "checkpoint list", "checkpoint verify"):
            with self.subTest(command):
                self.assertEqual(flags_of_document(command) - COMMON, flags_of_help(command) - COMMON)
        self.assertEqual(flags_of_document("doctor"), flags_of_help("doctor") - {"--coordinator"})


if __name__ == "__main__":
    unittest.main()
