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

    def __init__(self, subjects=60):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="anam-bert-"))
        self.data = self.root / "data"
        bert_support.write_cohort(self.data, subjects)
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


# scikit-learn on the phrases of the narratives as they are printed: knows neither shards nor our solver.
BASELINE = """
import json, sys
import numpy
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
splits = {name: [(set(text.split(", ")), label) for text, label in rows]
          for name, rows in json.load(open(sys.argv[1])).items()}
codes = sorted(set.union(*(bag for bag, _ in splits["train"])))
matrix = {name: numpy.array([[code in bag for code in codes] for bag, _ in rows], float)
          for name, rows in splits.items()}
labels = {name: numpy.array([label for _, label in rows]) for name, rows in splits.items()}
found = {}
for c in (0.01, 0.1, 1, 10):
    model = LogisticRegression(C=c, tol=1e-12, max_iter=100000).fit(matrix["train"], labels["train"])
    risks = {name: model.predict_proba(matrix[name])[:, 1] for name in ("tuning", "held_out")}
    found[c] = {name: {"auroc": roc_auc_score(labels[name], risk), "loss": log_loss(labels[name], risk)}
                for name, risk in risks.items()}
best = max(found, key=lambda c: (found[c]["tuning"]["auroc"], -c))
print(json.dumps({"c": best, "features": len(codes), **found[best]}))
"""


def narratives_of(place, split):
    """[text, label] of every subject, cut as in training."""
    cases = {}
    for line in (place.data / "labels.csv").read_text(encoding="utf-8-sig").splitlines()[1:]:
        fields = line.split(",")
        cases[fields[0]] = int(fields[1])
    rendered = subprocess.run([run_support.BIN / "anamnesis", "render", CONFIG, "--split", split, "--subject", "all",
                               *bert_support.overrides(place.base, place.data, place.root / "out")],
                              capture_output=True, text=True, check=True, timeout=60).stdout
    return [[line.split("\t", 1)[1], cases[line.split("\t", 1)[0]]] for line in rendered.splitlines()]


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = Place(subjects=300)  # cases and controls in every split
        cls.addClassCleanup(shutil.rmtree, cls.place.root, ignore_errors=True)
        cls.output, cls.stderr = cls.place.run("reported", "training.epochs=1")
        cls.evaluation = run_support.read_json(cls.output / "evaluation.json")

    def test_the_baseline_stands_beside_the_model_and_is_told_at_the_end(self):
        self.assertEqual(self.evaluation["baseline"]["c_chosen_on"], "tuning")
        model, baseline = self.evaluation["held_out"], self.evaluation["baseline"]["held_out"]
        self.assertEqual((baseline["rows"], baseline["positives"]), (model["rows"], model["positives"]))
        texts = [f"{part['metrics']['auroc']['value']:.4f} ({part['metrics']['auroc']['low']:.4f} to "
                 f"{part['metrics']['auroc']['high']:.4f})" for part in (model, baseline)]
        self.assertIn(f"held_out:  auroc {texts[0]}, bag of codes {texts[1]}", self.stderr)
        summary = run_support.read_json(self.output / ".anamnesis/summary.json")
        self.assertEqual(summary["evaluation"]["baseline_held_out_auroc"], baseline["metrics"]["auroc"]["value"])

    def test_subgroups_are_those_that_the_data_know(self):
        groups, rows = self.evaluation["held_out"]["subgroups"], self.evaluation["held_out"]["rows"]
        self.assertEqual(set(groups), {"site", "sex", "age"})
        for name, parts in groups.items():
            self.assertEqual(sum(part["rows"] for part in parts), rows, name)
        self.assertLessEqual({"FEMALE", "MALE"}, {part["value"] for part in groups["sex"]})

    def test_scikit_learn_finds_the_same_baseline(self):
        if not (run_support.SOURCE / ".deps/oracle/stamp").exists():
            self.skipTest("oracle absent")
        path = self.place.root / "bags.json"
        path.write_text(json.dumps({split: narratives_of(self.place, split)
                                    for split in ("train", "tuning", "held_out")}))
        done = subprocess.run([ORACLE, "-c", BASELINE, path], capture_output=True, text=True, timeout=240)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        seen = json.loads(done.stdout.splitlines()[-1])
        ours = self.evaluation["baseline"]
        self.assertEqual((ours["c"], ours["features"]), (seen["c"], seen["features"]))
        for split in ("tuning", "held_out"):
            for name in ("auroc", "loss"):
                self.assertAlmostEqual(ours[split]["metrics"][name]["value"], seen[split][name], delta=1e-6)


class Oracle(unittest.TestCase):
    def test_transformers_opens_it_and_has_our_loss_on_held_out(self):
        if not (run_support.SOURCE / ".deps/oracle/stamp").exists():
            self.skipTest("oracle absent")
        # Whole narratives fit into 512 tokens or the loss would be of other texts.
        narratives = narratives_of(place, "held_out")
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

    def test_a_vocabulary_larger_than_the_models(self):
        base = place.root / "larger"
        shutil.copytree(place.base, base)
        with open(base / "vocab.txt", "a", encoding="utf-8") as file:
            file.write("onemoreword\n")
        size = run_support.read_json(base / "config.json")["vocab_size"]
        code, text = self.refused(f"model.model_name={base}")
        self.assertEqual(code, 6)
        self.assertIn(f"the tokenizer has {size + 1} tokens, the model's vocab_size is {size}", text)

    def test_a_wrong_number_of_classes_and_of_weights(self):
        code, text = self.refused("model.num_classes=77")
        self.assertEqual(code, 6)
        self.assertIn("model.num_classes: 77", text)
        code, text = self.refused("training.class_weights=[1, 2, 3]")
        self.assertEqual(code, 6)
        self.assertIn("has 3 numbers, expected one for each of 2 classes", text)


if __name__ == "__main__":
    unittest.main()
