# SPDX-License-Identifier: Apache-2.0
"""No patient text outside shards, indexes and the raw data: 100 strings are planted in the codes and terms of a cohort;
jobs are killed, jobs fail on damaged data; then every file, page and command output is searched for them."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import unittest
import urllib.request

import run_support
import service_support as support

# What may hold text, beside the copies damaged-*: raw data, shards and indexes made of it, the files of the base model and its tokenizer.
MAY_HOLD_TEXT = {"shards", "index", "cohort", "base", "tokenizer.json", "tokenizer_config.json",
                 "special_tokens_map.json"}
PLANTED = re.compile(rb"canary[a-z]{12}")


def plant(data, count):
    """Renames codes in vocabulary and lookups, and every term. Returns the strings that are new."""
    generator = random.Random(4711)
    planted = []

    def new():
        planted.append("canary" + "".join(generator.choices("abcdefghkmnpqrstuvwxyz", k=12)))
        return planted[-1]

    vocabulary = (data / "vocab.csv").read_text()
    for name in ("medical_lookup.csv", "lab_lookup.csv"):
        head, *rows = (data / name).read_text().splitlines()
        lines = [head]
        for row in rows:
            code = row.split(",", 1)[0]
            if name == "medical_lookup.csv":
                renamed = new()
                vocabulary = vocabulary.replace(f"MEDICAL//{code},", f"MEDICAL//{renamed},")
                code = renamed
            lines.append(f"{code},{new()}")
        (data / name).write_text("\n".join(lines) + "\n")
    (data / "vocab.csv").write_text(vocabulary)
    if len(planted) < count:
        raise AssertionError(f"{len(planted)} strings planted, {count} wanted")
    return planted


class Canary(unittest.TestCase):
    def setUp(self):
        self.service = support.Service(slots=2)
        self.addCleanup(self.service.close)
        self.service.up("--metrics", "127.0.0.1:0")
        self.data = self.service.synth(subjects=40)  # planted words are many tokens each
        self.planted = plant(self.data, 100)

    def test_no_planted_string_is_found(self):
        service = self.service
        rendered = service.cli("render", service.config("render"), "--split", "train", "--subject", "all", check=True)
        known = set(PLANTED.findall(rendered.stdout.encode())) & {text.encode() for text in self.planted}
        self.assertGreater(len(known), 40, "the strings are patient text")
        seen = {"output of the jobs": self.run_killed_job() + self.run_failing_jobs()}
        for path, content in self.files().items():
            seen[path] = content
        for job in json.loads(service.cli("list", "-o", "json", check=True).stdout)["jobs"]:
            name = job["name"]
            for words in (("get", name, "-o", "json"), ("describe", name), ("describe", name, "-o", "yaml"),
                          ("logs", name), ("logs", name, "--rank", 0), ("metrics", name, "-o", "json"),
                          ("checkpoint", "list", name), ("watch", name, "-o", "json")):
                done = service.cli(*words)
                seen[" ".join(map(str, words))] = (done.stdout + done.stderr).encode()
        seen["list"] = service.cli("list", "-o", "wide", check=True).stdout.encode()
        with urllib.request.urlopen(f"http://{service.note()['metrics_address']}/metrics", timeout=5) as answer:
            seen["/metrics"] = answer.read()
        for name in ("coordinator.log", "state.db", "worker.log", "rank-0.log", "manifest.json", "up.log", "summary.json"):
            self.assertTrue([path for path in seen if path.endswith(name)], f"{name} was searched")
        found = {path: hits for path, content in seen.items() if (hits := PLANTED.findall(content))}
        self.assertEqual(found, {}, "patient text")
        print(f"{len(self.planted)} strings, {len(seen)} files and outputs of {sum(map(len, seen.values()))} bytes")

    def files(self):
        found = {}
        for path in self.service.root.rglob("*"):
            parts = path.relative_to(self.service.root).parts
            if not set(parts) & MAY_HOLD_TEXT and not parts[0].startswith("damaged-") and path.is_file():
                found[str(path)] = path.read_bytes()
        return found

    def run_killed_job(self):
        """A job whose rank, worker and coordinator are killed, followed to its end."""
        service = self.service
        follow = service.start("submit", "--task", "pretrain_llm", service.config("killed"), "--ranks", 2, "--set",
                               "training.epochs=2", "--set", "training.save_steps=10", "--follow")
        self.addCleanup(follow.kill)
        job = follow.stdout.readline().strip()
        service.wait_for_step(job, 12)
        os.kill(service.ranks_of(job)[1], signal.SIGKILL)
        self.wait_for_attempt(job, 2)
        os.kill(service.worker_of(job), signal.SIGKILL)
        self.wait_for_attempt(job, 3)
        service.kill()
        service.up("--metrics", "127.0.0.1:0")
        out, err = follow.communicate(timeout=120)
        self.assertEqual(follow.returncode, 0, err)
        found = service.get(job)
        self.assertEqual([attempt["state"] for attempt in found["attempts"]], ["failed", "lost", "succeeded"])
        self.assertEqual(found["attempts"][2]["reattached"], 1)
        return (out + err).encode()

    def wait_for_attempt(self, job, epoch):
        def running():
            last = self.service.get(job)["attempts"][-1]
            return last["epoch"] == epoch and last["state"] == "running"
        support.wait_until(running, f"attempt {epoch} runs")

    def run_failing_jobs(self):
        """Jobs on data damaged in ways that the message must tell without quoting what it found."""
        text = self.planted[7].encode()
        damages = {
            "pickle": ("train/0.pkl", lambda content: content[:len(content) // 2] + b"\x8c\x12" + text),
            "labels": ("labels.csv", lambda content: content.replace(b"2011-09-12", text)),
            "lookup": ("medical_lookup.csv", lambda content: content + b'"' + text + b"\n"),
            "vocabulary": ("vocab.csv", lambda content: content + b"x," + text + b",0\n"),
        }
        said = b""
        for name, (path, damage) in damages.items():
            data = self.service.root / f"damaged-{name}"
            shutil.copytree(self.data, data)
            (data / path).write_bytes(damage((data / path).read_bytes()))
            words = [word for key, file in (("data_dir", ""), ("vocab_filepath", "/vocab.csv"),
                                            ("labels_filepath", "/labels.csv"),
                                            ("medical_lookup_filepath", "/medical_lookup.csv"))
                     for word in ("--set", f"data.{key}={data}{file}")]
            done = self.service.cli("submit", "--task", "pretrain_llm", self.service.config(f"bad-{name}"), "--wait",
                                    *words)
            self.assertEqual(done.returncode, 8, f"{name}: {done.stderr}")
            self.assertIn(pathlib.Path(path).stem, done.stderr, "the message names the file")
            said += (done.stdout + done.stderr).encode()
        return said


if __name__ == "__main__":
    unittest.main()
