# SPDX-License-Identifier: Apache-2.0
"""Every configuration key has a named effect, and bad input is refused before anything is written. Ranks are replaced
by a program that ends at once: what counts here is what the worker checks, prepares and plans."""

import json
import os
import pathlib
import pickle
import shutil
import struct
import subprocess
import unittest

import run_support as support

place = None
binaries = None


def setUpModule():
    global place, binaries
    if support.shared_data_is_absent():
        raise unittest.SkipTest("shared data absent")
    place = support.Workplace(train_subjects=2, tuning_subjects=1)
    binaries = place.root / "bin"
    binaries.mkdir()
    for name in ("anamnesis-worker", "anamnesis-prep"):
        shutil.copy(support.BIN / name, binaries / name)
    rank = binaries / "anamnesis-rank"
    rank.write_text("#!/bin/sh\nexit 3\n")
    rank.chmod(0o755)


def tearDownModule():
    if place is not None:
        place.close()


def plan_of(name, *options, job=None):
    """The plan of rank 0 and everything that was said; no plan where the run was refused."""
    output = place.root / f"out-{name}"
    job = job or place.root / "keys.yaml"
    done = place.run(job, "--set", f"training.output_dir={output}", *options, binaries=binaries)
    path = output / ".anamnesis/plan-rank-0.json"
    return (support.read_json(path) if path.exists() else None), done, output


def value_at(plan, path):
    for key in path.split("/"):
        plan = plan[key]
    return plan


def changed_copy(source, edit):
    target = place.root / f"changed-{pathlib.Path(source).name}"
    target.write_text(edit(pathlib.Path(source).read_text()))
    return target


def swap_first_term(text):
    lines = text.splitlines()
    lines[1] = lines[1].split(",")[0] + ",Another term"
    return "\n".join(lines) + "\n"


# key: (new value, path in the plan that differs from the baseline)
PLANNED = {
    "model.max_length": (128, "data/stream/model.max_length"),
    "data.cutoff_months": (7, "data/stream/data.cutoff_months"),
    "data.apply_to": ("all", "data/stream/data.apply_to"),
    "data.boundary": ("inclusive", "data/stream/data.boundary"),
    "data.on_missing_date": ("drop", "data/stream/data.on_missing_date"),
    "data.unknown_tokens": ("drop", "data/shards_manifest_sha256"),
    "lora.r": (2, "lora/r"),
    "lora.lora_alpha": (3, "lora/alpha"),
    "lora.lora_dropout": (0.2, "lora/dropout"),
    "lora.use_rslora": ("false", "lora/use_rslora"),
    "lora.target_modules": ("all-linear", "lora/all_linear"),
    "lora.modules_to_save": ("[lm_head]", "lora/modules_to_save"),
    "lora.exclude_modules": ("[model.layers.0.self_attn.v_proj]", "lora/exclude_modules"),
    "lora.rank_pattern": ("{q_proj: 2}", "lora/rank_pattern"),
    "lora.alpha_pattern": ("{q_proj: 2}", "lora/alpha_pattern"),
    "training.framework": ("unsloth", "training/framework"),
    "training.epochs": (2, "training/total_steps"),
    "training.batch_size": (2, "training/batch_size"),
    "training.gradient_accumulation_steps": (2, "training/gradient_accumulation_steps"),
    "training.gradient_checkpointing": ("true", "training/gradient_checkpointing"),
    "training.learning_rate": ("2e-5", "training/learning_rate"),
    "training.weight_decay": (0.3, "training/weight_decay"),
    "training.bf16": ("true", "model/dtype"),
    "training.fp16": ("true", "model/dtype"),
    "training.load_in_4bit": ("true", "model/quantisation"),
    "training.warmup_steps": (3, "training/warmup_steps"),
    "training.logging_steps": (7, "training/logging_steps"),
    "training.eval_steps": (7, "training/eval_steps"),
    "training.save_steps": (7, "training/save_steps"),
    "training.seed": (7, "training/seed"),
    "training.lanes": (4, "training/lanes"),
    "training.determinism": ("fast", "training/determinism"),
    "training.threads_per_rank": (3, "gang/threads"),
    "training.lr_scheduler_type": ("cosine", "training/lr_scheduler_type"),
    "training.max_grad_norm": (0.5, "training/max_grad_norm"),
    "training.eval_batch_size": (2, "training/eval_batch_size"),
    "training.save_total_limit": (2, "training/save_total_limit"),
    "training.early_stopping_patience": (2, "training/early_stopping_patience"),
    "resources.ranks": (2, "gang/num_ranks"),
    "wandb.enabled": ("true", "output/wandb/enabled"),
    "wandb.project": ("p", "output/wandb/project"),
    "wandb.run_name": ("p", "output/wandb/run_name"),
    "wandb.mode": ("disabled", "output/wandb/mode"),
    "wandb.entity": ("p", "output/wandb/entity"),
    "wandb.group": ("p", "output/wandb/group"),
    "wandb.job_type": ("p", "output/wandb/job_type"),
    "wandb.notes": ("p", "output/wandb/notes"),
    "wandb.tags": ("[p]", "output/wandb/tags"),
}

# key: (value, word of the refusal); all with exit 6 and nothing written
REFUSED = {
    "model.head_type": ("mlp", "not built yet"),
    "model.freeze_llm": ("false", "not built yet"),
    "model.train_lora": ("false", "not built yet"),
    "data.profile": ("fused", "not built yet"),
    "data.value_mode": ("x", "not built yet"),
    "data.time_mode": ("age", "not built yet"),
    "data.truncation": ("oldest", "not built yet"),
    "lora.bias": ("all", "not built yet"),
    "resources.ranks_per_node": (1, "not built yet"),
    "audit": ("strict", "not built yet"),
}

# keys with a test of their own below
ELSEWHERE = {"model.model_name", "model.revision", "data.data_dir", "data.vocab_filepath", "data.labels_filepath",
             "data.medical_lookup_filepath", "data.lab_lookup_filepath", "data.region_lookup_filepath",
             "data.time_lookup_filepath", "training.output_dir", "training.overwrite_output_dir",
             # of fine-tuning: llm_tasks_test.py
             "model.pretrained_checkpoint", "data.prompt.template", "data.prompt.question", "data.prompt.answers",
             # of classification: bert_test.py
             "model.num_classes", "training.loss", "training.focal_gamma", "training.class_weights"}


def schema_keys(node, path=""):
    if isinstance(node, dict) and "properties" in node:
        for name, inner in node["properties"].items():
            yield from schema_keys(inner, f"{path}.{name}" if path else name)
    elif path:
        yield path


class Keys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        place.job("keys")
        cls.baseline, done, _ = plan_of("baseline")
        if cls.baseline is None:
            raise AssertionError(done.stderr)

    def test_every_key_of_the_table_is_tested(self):
        text = subprocess.run([support.BIN / "anamnesis", "config", "schema", "--format", "json"], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual(set(schema_keys(json.loads(text))), set(PLANNED) | set(REFUSED) | ELSEWHERE)

    def test_planned_keys_change_the_plan(self):
        for number, (key, (value, path)) in enumerate(PLANNED.items()):
            with self.subTest(key=key):
                options = ["--set", f"{key}={value}"]
                plan, done, _ = plan_of(f"planned-{number}", *options)
                self.assertIsNotNone(plan, done.stderr)
                self.assertNotEqual(value_at(plan, path), value_at(self.baseline, path))

    def test_what_is_not_built_is_refused_by_key(self):
        for number, (key, (value, word)) in enumerate(REFUSED.items()):
            with self.subTest(key=key):
                plan, done, output = plan_of(f"refused-{number}", "--set", f"{key}={value}")
                self.assertEqual(done.returncode, 6, done.stderr)
                self.assertIn(key, done.stderr)
                self.assertIn(word, done.stderr)
                self.assertFalse(output.exists())

    def test_files_of_data_change_the_shards(self):
        before = self.baseline["data"]["shards_manifest_sha256"]
        medical = changed_copy(place.data / "medical_lookup.csv", swap_first_term)
        lab = changed_copy(place.data / "lab_lookup.csv", swap_first_term)
        region = place.root / "region.csv"
        region.write_text("regionid,Description\n1,North\n")
        times = place.root / "times.csv"
        times.write_text("code,term\n<time_interval_4d-7d>,some days\n")
        labels = changed_copy(place.data / "labels.csv", lambda text: text.rstrip("\n") + "\n999999999,0,,\n")
        vocabulary = changed_copy(place.data / "vocab.csv", lambda text: text.rstrip("\n") + "\n9999999,NEW,0\n")
        for key, path in (("medical_lookup_filepath", medical), ("lab_lookup_filepath", lab),
                          ("region_lookup_filepath", region), ("time_lookup_filepath", times),
                          ("labels_filepath", labels), ("vocab_filepath", vocabulary)):
            with self.subTest(key=key):
                plan, done, _ = plan_of(key, "--set", f"data.{key}={path}")
                self.assertIsNotNone(plan, done.stderr)
                self.assertNotEqual(plan["data"]["shards_manifest_sha256"], before)

    def test_data_dir_changes_the_shards(self):
        support.copy_data(place.root / "other-data", 1, 1)
        plan, done, _ = plan_of("data-dir", "--set", f"data.data_dir={place.root / 'other-data'}")
        self.assertIsNotNone(plan, done.stderr)
        self.assertNotEqual(plan["data"]["shards_manifest_sha256"], self.baseline["data"]["shards_manifest_sha256"])

    def test_model_name_and_revision_choose_the_model(self):
        support.write_base(place.root / "base-2", seed=2)
        plan, done, _ = plan_of("model", "--set", f"model.model_name={place.root / 'base-2'}")
        self.assertIsNotNone(plan, done.stderr)
        self.assertEqual(plan["model"]["directory"], str((place.root / "base-2").resolve()))
        hub = place.root / "no-cache/hub/models--org--tiny"
        (hub / "refs").mkdir(parents=True)
        (hub / "snapshots").mkdir()
        (hub / "snapshots/v2").symlink_to(place.base)
        (hub / "refs/main").write_text("gone")
        for revision, code in (("v2", 1), ("v3", 6)):
            _, done, _ = plan_of(f"revision-{revision}", "--set", "model.model_name=org/tiny", "--set",
                                 f"model.revision={revision}")
            self.assertEqual(done.returncode, code, done.stderr)

    def test_output_dir_rules(self):
        foreign = place.root / "out-foreign"
        foreign.mkdir()
        (foreign / "thesis.txt").write_text("x")
        plan, done, _ = plan_of("foreign")
        self.assertEqual((plan, done.returncode), (None, 5))
        self.assertEqual([path.name for path in foreign.iterdir()], ["thesis.txt"])
        plan, done, _ = plan_of("foreign", "--set", "training.overwrite_output_dir=true")
        self.assertIsNotNone(plan, done.stderr)
        self.assertTrue((place.root / "out-foreign.old-1/thesis.txt").exists())
        plan, done, _ = plan_of("foreign")
        self.assertEqual(done.returncode, 5)
        self.assertIn("--resume", done.stderr)

    def test_ranks_say_what_failed(self):
        _, done, output = plan_of("fails")
        self.assertEqual(done.returncode, 1)
        self.assertIn("rank 0 exited with code 3 before its first step", done.stderr)
        self.assertEqual(support.read_json(output / ".anamnesis/summary.json")["status"], "failed")


class BadInput(unittest.TestCase):
    """Each with a clear error, exit 6, nothing written."""

    def refused(self, name, words, *options, job=None):
        place.job("keys")
        _, done, output = plan_of(name, *options, job=job)
        self.assertEqual(done.returncode, 6, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse(output.exists())

    def data_with(self, name, edit):
        data = place.root / f"bad-{name}"
        support.copy_data(data, 1, 1)
        edit(data)
        return "--set", f"data.data_dir={data}", "--set", f"data.vocab_filepath={data}/vocab.csv"

    def base_with(self, name, edit):
        base = place.root / f"base-{name}"
        shutil.copytree(place.base, base)
        edit(base)
        return "--set", f"model.model_name={base}"

    def test_unknown_key(self):
        job = place.root / "unknown.yaml"
        job.write_text((place.job("keys")).read_text().replace("  epochs:", "  epoch:"))
        line = job.read_text().splitlines().index("  epoch: 1") + 1
        self.refused("unknown", [f"unknown.yaml:{line}:3", "training.epoch", "did you mean training.epochs"], job=job)

    def test_wrong_type(self):
        self.refused("type", ["training.batch_size"], "--set", "training.batch_size=four")

    def test_missing_files(self):
        for key in ("data.vocab_filepath", "data.labels_filepath", "data.data_dir", "data.lab_lookup_filepath"):
            self.refused("missing", ["/nonexistent/x"], "--set", f"{key}=/nonexistent/x")
        self.refused("missing", ["/nonexistent/job.yaml"], job=pathlib.Path("/nonexistent/job.yaml"))

    def test_reduce_opcode(self):
        class Evil:
            def __reduce__(self):
                return os.getpid, ()

        options = self.data_with("reduce", lambda data: (data / "train/0.pkl").write_bytes(pickle.dumps([Evil()])))
        self.refused("reduce", ["0.pkl"], *options)

    def test_truncated_pickle(self):
        def cut(data):
            path = data / "train/0.pkl"
            path.write_bytes(path.read_bytes()[:-100])

        self.refused("truncated", ["0.pkl"], *self.data_with("truncated", cut))

    def test_vocabulary_without_an_id(self):
        def cut(data):
            lines = (data / "vocab.csv").read_text().splitlines()
            (data / "vocab.csv").write_text("\n".join(lines[:6]) + "\n")

        self.refused("vocabulary", ["vocab.csv"], *self.data_with("vocabulary", cut))

    def test_unreadable_model(self):
        def cut(base):
            path = base / "model.safetensors"
            path.write_bytes(path.read_bytes()[:5000])

        def lie(base):
            path = base / "model.safetensors"
            path.write_bytes(struct.pack("<Q", 1 << 60) + path.read_bytes()[8:])

        self.refused("model-cut", ["model.safetensors"], *self.base_with("cut", cut))
        self.refused("model-lie", ["model.safetensors"], *self.base_with("lie", lie))
        self.refused("model-none", ["model.safetensors"],
                     *self.base_with("none", lambda base: (base / "model.safetensors").unlink()))
        self.refused("model-config", ["config.json"],
                     *self.base_with("config", lambda base: (base / "config.json").write_text("{")))
        self.refused("model-tokens", ["tokenizer.json"],
                     *self.base_with("tokens", lambda base: (base / "tokenizer.json").unlink()))

    def test_unsupported_model_type(self):
        def change(base):
            config = support.read_json(base / "config.json") | {"model_type": "gpt_neox"}
            (base / "config.json").write_text(json.dumps(config))

        self.refused("model-type", ["gpt_neox", "llama"], *self.base_with("type", change))

    def test_unknown_target_module(self):
        self.refused("target", ["lora.target_modules"], "--set", "lora.target_modules=[qq_proj]")

    def test_ranks_above_slots_and_lanes(self):
        self.refused("slots", ["slots"], "--ranks", "5", "--slots", "4")
        self.refused("lanes", ["training.lanes: 4"], "--ranks", "3", "--set", "training.batch_size=2", "--set",
                     "training.gradient_accumulation_steps=1")

    def test_usage(self):
        done = subprocess.run([binaries / "anamnesis-worker", "run", "keys.yaml"], stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 2)

    def test_damaged_shards_are_not_trained_on(self):
        """The cache is ours: what is damaged is named and made again from the inputs."""
        place.job("keys")
        plan, _, _ = plan_of("intact")
        shards = pathlib.Path(plan["data"]["shards_directory"])
        for number, path in enumerate(sorted(path for path in shards.rglob("*") if path.is_file())):
            with self.subTest(file=path.name):
                before = path.read_bytes()
                for damaged in (before[:-1] + bytes([before[-1] ^ 1]), before[:-1]):
                    path.write_bytes(damaged)
                    again, done, _ = plan_of(f"damaged-{number}-{len(damaged)}")
                    self.assertIsNotNone(again, done.stderr)
                    self.assertIn("damaged", done.stderr)
                    self.assertEqual(path.read_bytes(), before)


if __name__ == "__main__":
    unittest.main()
