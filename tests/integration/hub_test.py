# SPDX-License-Identifier: Apache-2.0
"""`anamnesis pull` against a local hub: files and layout, redirects, resumed and refused downloads, clear errors."""

import hashlib
import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

import hub_server

BIN = pathlib.Path(os.environ["ANAMNESIS_BIN_DIR"])
MODEL = "org/tiny-model"
WEIGHTS = random.Random(3).randbytes(300_000)
FILES = {"config.json": b"{}", "tokenizer.json": b"{\"a\": 1}", "README.md": b"no model file", ".gitattributes": b"x",
         "model.safetensors": WEIGHTS, "pytorch_model.bin": b"older weights", "onnx/model.onnx": b"other weights"}


class WithHub(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.hub = hub_server.Hub()
        self.addCleanup(self.hub.close)
        self.hub.repositories[MODEL] = dict(FILES)
        self.hub.large = {"model.safetensors"}
        self.folder = self.home / "hub" / "models--org--tiny-model"
        self.commit = self.hub.commit(MODEL)

    def anamnesis(self, *words, **environment):
        kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
        for key in [key for key in kept if key.startswith(("HF_", "HUGGING"))]:
            del kept[key]
        kept |= {"HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.url()} | environment
        return subprocess.run([BIN / "anamnesis", *words], env=kept, text=True, capture_output=True, timeout=60,
                              cwd=os.environ["ANAMNESIS_SOURCE_DIR"])

    def pull(self, *words, **environment):
        return self.anamnesis("pull", *words, **environment)

    def succeed(self, *words, **environment):
        done = self.pull(*words, **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return pathlib.Path(done.stdout.strip())

    def gets(self, file):
        return [headers for _, method, path, headers in self.hub.requests if method == "GET" and path.endswith(file)]


class Pull(WithHub):
    def test_needed_files_come_into_the_layout_of_huggingface_hub(self):
        snapshot = self.succeed(MODEL)
        self.assertEqual(snapshot, self.folder / "snapshots" / self.commit)
        self.assertEqual(sorted(path.name for path in snapshot.iterdir()),
                         ["config.json", "model.safetensors", "tokenizer.json"])
        self.assertEqual((snapshot / "model.safetensors").read_bytes(), WEIGHTS)
        digest = hashlib.sha256(WEIGHTS).hexdigest()
        self.assertEqual(os.readlink(snapshot / "model.safetensors"), f"../../blobs/{digest}")
        self.assertEqual((self.folder / "refs" / "main").read_text(), self.commit)
        self.assertFalse(list((self.folder / "blobs").glob("*.incomplete")))

    def test_a_second_pull_fetches_nothing_again(self):
        self.succeed(MODEL)
        self.hub.requests.clear()
        done = self.pull(MODEL, "-o", "json")
        self.assertEqual(json.loads(done.stdout)["fetched_bytes"], 0)
        self.assertEqual(len(self.gets("model.safetensors")), 0)

    def test_a_cut_connection_goes_on_where_it_ended(self):
        self.hub.cut_after["model.safetensors"] = 120_000
        snapshot = self.succeed(MODEL)
        self.assertEqual((snapshot / "model.safetensors").read_bytes(), WEIGHTS)
        ranges = [headers.get("Range") for server, method, path, headers in self.hub.requests
                  if server == "content" and method == "GET"]
        self.assertEqual(ranges, [None, "bytes=120000-"])

    def test_the_part_of_an_earlier_pull_is_used(self):
        digest = hashlib.sha256(WEIGHTS).hexdigest()
        (self.folder / "blobs").mkdir(parents=True)
        (self.folder / "blobs" / (digest + ".incomplete")).write_bytes(WEIGHTS[:250_000])
        done = self.pull(MODEL, "-o", "json")
        small = len(FILES["config.json"]) + len(FILES["tokenizer.json"])
        self.assertEqual(json.loads(done.stdout)["fetched_bytes"], 50_000 + small)

    def test_a_part_that_is_no_part_is_thrown_away(self):
        digest = hashlib.sha256(WEIGHTS).hexdigest()
        (self.folder / "blobs").mkdir(parents=True)
        (self.folder / "blobs" / (digest + ".incomplete")).write_bytes(bytes(400_000))
        self.assertEqual((self.succeed(MODEL) / "model.safetensors").read_bytes(), WEIGHTS)

    def test_wrong_content_is_fetched_once_more_and_then_refused(self):
        self.hub.wrong["model.safetensors"] = 1
        self.succeed(MODEL)
        (self.folder / "blobs" / hashlib.sha256(WEIGHTS).hexdigest()).unlink()
        self.hub.wrong["model.safetensors"] = 2
        done = self.pull(MODEL)
        self.assertEqual(done.returncode, 6)
        self.assertIn("SHA-256", done.stderr)
        self.assertFalse(list((self.folder / "blobs").glob(hashlib.sha256(WEIGHTS).hexdigest() + "*")))

    def test_the_token_goes_to_the_hub_alone(self):
        self.hub.tokens[MODEL] = "hf_secret"
        done = self.pull(MODEL)
        self.assertEqual(done.returncode, 4)
        self.assertIn("set HF_TOKEN", done.stderr)
        (self.home / "token").write_text("hf_secret\n")
        self.succeed(MODEL)
        for server, _, _, headers in self.hub.requests[1:]:
            self.assertEqual(headers.get("Authorization"), "Bearer hf_secret" if server == "hub" else None)
        done = self.pull(MODEL, HF_TOKEN="hf_other")
        self.assertIn("the token (HF_TOKEN) is not accepted", done.stderr)
        self.assertNotIn("hf_other", done.stderr)

    def test_a_renamed_repository_is_followed_and_kept_under_the_name_asked_for(self):
        self.hub.renamed["org/old-name"] = MODEL
        snapshot = self.succeed("org/old-name")
        self.assertEqual(snapshot.parent.parent.name, "models--org--old-name")
        self.assertEqual((snapshot / "model.safetensors").read_bytes(), WEIGHTS)

    def test_too_many_requests_are_waited_for(self):
        self.hub.busy = 3
        self.succeed(MODEL)
        self.hub.busy = 50
        done = self.pull(MODEL)
        self.assertEqual(done.returncode, 75)
        self.assertIn("HTTP status 429", done.stderr)

    def test_refusals_say_what_to_do(self):
        self.hub.gated.add(MODEL)
        done = self.pull(MODEL)
        self.assertEqual(done.returncode, 4)
        self.assertIn("accept its terms", done.stderr)
        self.hub.gated.clear()
        done = self.pull(MODEL, "--revision", "v9")
        self.assertEqual(done.returncode, 3)
        self.assertIn("revision 'v9'", done.stderr)
        self.assertIn("does not exist", self.pull("org/absent").stderr)
        for wrong in ("../x", "a/b/c", "a b", "a--b", "/etc"):
            done = self.pull(wrong)
            self.assertEqual(done.returncode, 6)
            self.assertIn("expected ORG/NAME", done.stderr)
        self.hub.list = b'{"siblings": [], "sha": "../../x"}'
        done = self.pull(MODEL)
        self.assertEqual(done.returncode, 75)
        self.assertIn("is HF_ENDPOINT a hub?", done.stderr)

    def test_offline_downloads_nothing_and_says_what_to_run(self):
        done = self.pull(MODEL, "--revision", "v2", HF_HUB_OFFLINE="1")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"anamnesis pull {MODEL} --revision v2", done.stderr)
        self.assertEqual(self.hub.requests, [])

    def test_shards_are_those_of_the_index(self):
        index = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
        self.hub.repositories[MODEL] = {
            "config.json": b"{}", "vocab.txt": b"[UNK]", "model.safetensors.index.json": json.dumps(index).encode(),
            "model-1-of-2.safetensors": b"1", "model-2-of-2.safetensors": b"2", "model-9-of-9.safetensors": b"9"}
        self.assertEqual(sorted(path.name for path in self.succeed(MODEL).iterdir()),
                         ["config.json", "model-1-of-2.safetensors", "model-2-of-2.safetensors",
                          "model.safetensors.index.json", "vocab.txt"])

    def test_a_missing_file_leaves_no_revision_behind(self):
        del self.hub.repositories[MODEL]["model.safetensors"], self.hub.repositories[MODEL]["pytorch_model.bin"]
        done = self.pull(MODEL)
        self.assertEqual(done.returncode, 6)
        self.assertIn("no weights that are read", done.stderr)
        self.assertFalse((self.folder / "refs" / "main").exists())

    def test_a_hub_that_is_not_there_is_named(self):
        self.hub.close()
        done = self.pull(MODEL, HF_ENDPOINT="ftp://localhost")
        self.assertEqual(done.returncode, 6)
        self.assertIn("HF_ENDPOINT", done.stderr)


class Job(WithHub):
    def run_job(self, *words):
        return self.anamnesis("run", "--task", "pretrain_llm", "configs/jobs/first_light.yaml", "--data-dir",
                              str(self.home), "--set", f"model.model_name={MODEL}", "--set",
                              f"training.output_dir={self.home}/out", *words)

    def test_fetches_its_model_and_goes_on_with_it(self):
        done = self.run_job()
        self.assertEqual(done.returncode, 6)
        self.assertIn(str(self.folder / "snapshots" / self.commit / "config.json"), done.stderr)
        self.assertEqual((self.folder / "refs" / "main").read_text(), self.commit)

    def test_fetches_nothing_where_that_is_denied(self):
        done = self.run_job("--hub", "deny")
        self.assertEqual(done.returncode, 6)
        self.assertIn(f"anamnesis pull {MODEL}", done.stderr)
        self.assertEqual(self.hub.requests, [])


if __name__ == "__main__":
    unittest.main()
