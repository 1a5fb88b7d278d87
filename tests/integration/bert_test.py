# SPDX-License-Identifier: Apache-2.0
"""Workflow 1: the seed's fine-tune-bert.yaml, byte for byte but for paths and sizes given by --set, on a cohort of our
own generator with a tiny BERT. What it writes is opened by the real libraries."""

import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

import bert_support
import run_support

CONFIG = run_support.SOURCE / "configs/jobs/fine-tune-bert.yaml"
ORACLE = run_support.SOURCE / "tools/oracle"
SMALL = ("training.epochs=2", "training.batch_size=8", "training.learning_rate=1e-3")
# The tree of the old script, the same weights as safetensors, and the tokenizer's files.
TREE = {"config.json", "model.safetensors", "pytorch_model.bin", "training_args.bin", "training_args.json",
        "trainer_state.json", "vocab.txt", "tokenizer_config.json", "tokenizer.json", "evaluation.json"}


class Place:
    """A cohort, a base model and a cache of shards, shared by the tests."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="anam-bert-"))
        self.data = self.root / "data"
        bert_support.write_cohort(self.data, subjects=60)
        self.base = self.root / "base"
        bert_support.write_base(self.base, self.data)

    def command(self, name, *more, ranks=1):
        return [str(run_support.BIN / "anamnesis"), "run", "--task", "finetune_bert", str(CONFIG), "--data-dir",
                str(self.root / "cache"), "--ranks", str(ranks), "--threads-per-rank", "1",
                *bert_support.overrides(self.base, self.data, self.root / name, *SMALL, *more)]

    def run(self, name, *more, ranks=1):
        done = subprocess.run(self.command(name, *more, ranks=ranks), capture_output=True, text=True, timeout=240)
        if done.returncode != 0:
            raise AssertionError(f"exit {done.returncode}\n{done.stderr}")
        return self.root / name, done.stderr


place = None


def setUpModule():
    global place
    place = Place()
    place.output, place.stderr = place.run("one")


def tearDownModule():
    if place is not None:
        shutil.rmtree(place.root, ignore_errors=True)


class Outputs(unittest.TestCase):
    def test_the_folder_is_the_old_scripts_tree_and_the_safetensors(self):
        names = {path.name for path in place.output.iterdir() if path.is_file()}
        self.assertEqual(names, TREE)
        folders = {path.name for path in place.output.iterdir() if path.is_dir()}
        self.assertLessEqual({".anamnesis", "runs", "wandb"}, folders)
        self.assertNotIn("final_model", folders)

    def test_the_user_is_told_which_weights_were_new_and_which_unused(self):
        self.assertIn("new, initialised from the seed: classifier;", place.stderr)
        self.assertIn("cls.predictions", place.stderr)

    def test_every_split_is_classified_once_and_held_out_at_the_end_alone(self):
        evaluation = run_support.read_json(place.output / "evaluation.json")
        manifest = run_support.read_json(place.output / ".anamnesis/manifest.json")
        self.assertEqual(manifest["splits_read"], ["held_out", "train", "tuning"])
        for split in ("tuning", "held_out"):
            files = sorted((place.data / split).glob("*.pkl"))
            self.assertGreater(len(files), 0)
            self.assertGreater(evaluation[split]["rows"], 0)
        self.assertEqual(evaluation["alert_threshold_chosen_on"], "tuning")
        history = run_support.read_json(place.output / "trainer_state.json")["log_history"]
        evals = [row for row in history if "eval_loss" in row]
        self.assertEqual(len(evals), 2)  # once an epoch
        self.assertIn("eval_accuracy", evals[-1])
        self.assertAlmostEqual(evals[-1]["eval_loss"], evaluation["tuning"]["metrics"]["loss"]["value"], places=12)


class Bits(unittest.TestCase):
    def test_any_number_of_ranks_gives_the_same_model(self):
        expected = run_support.sha256(place.output / "model.safetensors")
        output, _ = place.run("two", ranks=2)
        self.assertEqual(run_support.sha256(output / "model.safetensors"), expected)
        self.assertEqual(run_support.read_json(output / "evaluation.json"),
                         run_support.read_json(place.output / "evaluation.json"))

    def test_a_killed_run_that_is_resumed_gives_the_same_model(self):
        live = run_support.LiveRun(place.command("killed", "training.save_steps=2"))
        try:
            live.wait_for("saved checkpoint-2")
            live.process.send_signal(signal.SIGKILL)
        finally:
            live.close()
        command = place.command("killed", "training.save_steps=2")
        done = subprocess.run(command + ["--resume"], capture_output=True, text=True, timeout=240)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("continuing after step", done.stderr)
        self.assertEqual(run_support.sha256(place.root / "killed/model.safetensors"),
                         run_support.sha256(place.output / "model.safetensors"))


OPENED = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, narratives = sys.argv[1], json.load(open(sys.argv[2]))
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
stored = torch.load(folder + "/pytorch_model.bin", weights_only=True)
state = model.state_dict()
assert all(torch.equal(state[name], tensor) for name, tensor in stored.items()), "pytorch_model.bin differs"
args = torch.load(folder + "/training_args.bin", weights_only=False)
losses = []
with torch.no_grad():
    for text, label in narratives:
        inputs = tokenizer(text, return_tensors="pt")
        logits = model(**inputs).logits.double()
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor([label])).item())
print(json.dumps({"loss": sum(losses) / len(losses), "learning_rate": args.learning_rate, "epochs": args.num_train_epochs,
                  "id2label": model.config.id2label, "stored": len(stored)}))
"""


class Oracle(unittest.TestCase):
    def test_transformers_opens_it_and_has_our_loss_on_held_out(self):
        if not (run_support.SOURCE / ".deps/oracle/stamp").exists():
            self.skipTest("oracle absent")
        # Whole narratives fit into 512 tokens or the loss would be of other texts.
        cases = {}
        for line in (place.data / "labels.csv").read_text(encoding="utf-8-sig").splitlines()[1:]:
            fields = line.split(",")
            cases[fields[0]] = int(fields[1])
        rendered = subprocess.run([run_support.BIN / "anamnesis", "render", CONFIG, "--split", "held_out", "--subject",
                                   "all", *bert_support.overrides(place.base, place.data, place.output)],
                                  capture_output=True, text=True, check=True, timeout=60).stdout
        narratives = [[line.split("\t", 1)[1], cases[line.split("\t", 1)[0]]] for line in rendered.splitlines()]
        path = place.root / "narratives.json"
        path.write_text(json.dumps(narratives))
        opened = subprocess.run([ORACLE, "-c", OPENED, place.output, path], capture_output=True, text=True, timeout=240)
        self.assertEqual(opened.returncode, 0, opened.stderr[-2000:])
        seen = json.loads(opened.stdout.splitlines()[-1])
        ours = run_support.read_json(place.output / "evaluation.json")["held_out"]
        self.assertEqual(ours["rows"], len(narratives))
        self.assertAlmostEqual(seen["loss"], ours["metrics"]["loss"]["value"], delta=1e-5)
        self.assertEqual(seen["learning_rate"], 1e-3)
        self.assertEqual(seen["epochs"], 2)
        self.assertEqual(seen["id2label"], {"0": "Control", "1": "Case"})


class Losses(unittest.TestCase):
    def test_each_setting_of_the_loss_trains_another_model(self):
        digests = {run_support.sha256(place.output / "model.safetensors")}
        for number, more in enumerate((["training.loss=focal"], ["training.loss=focal", "training.focal_gamma=0.5"],
                                       ["training.class_weights=[1, 3]"])):
            output, _ = place.run(f"loss-{number}", "training.epochs=1", *more)
            plan = run_support.read_json(output / ".anamnesis/manifest.json")["resolved_spec"]
            self.assertEqual(plan["training"]["epochs"], 1)
            digests.add(run_support.sha256(output / "model.safetensors"))
        self.assertEqual(len(digests), 4)


class BadInput(unittest.TestCase):
    def refused(self, *more):
        done = subprocess.run(place.command("refused", *more), capture_output=True, text=True, timeout=60)
        self.assertFalse((place.root / "refused").exists())
        return done.returncode, done.stderr

    def test_a_length_beyond_the_models_positions(self):
        code, text = self.refused("model.max_length=513")
        self.assertEqual(code, 6)
        self.assertIn("model.max_length: 513", text)

    def test_a_wrong_number_of_classes_and_of_weights(self):
        code, text = self.refused("model.num_classes=77")
        self.assertEqual(code, 6)
        self.assertIn("model.num_classes: 77", text)
        code, text = self.refused("training.class_weights=[1, 2, 3]")
        self.assertEqual(code, 6)
        self.assertIn("has 3 numbers, expected one for each of 2 classes", text)


if __name__ == "__main__":
    unittest.main()
