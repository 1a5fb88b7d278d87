# SPDX-License-Identifier: Apache-2.0
"""`predict` on what the training tasks wrote: the probabilities are those of transformers and PEFT, the measures those
of the run's own evaluation, and neither labels nor dates are needed."""

import csv
import io
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import bert_support
import run_support

BERT = run_support.SOURCE / "configs/jobs/fine-tune-bert.yaml"
LLM = run_support.SOURCE / "configs/jobs/llm_pretrain.yaml"
ORACLE = run_support.SOURCE / "tools/oracle"
SMALL_BERT = ("training.epochs=2", "training.batch_size=8", "training.learning_rate=1e-3")
SMALL_LLM = ("training.epochs=1", "training.learning_rate=2e-3", "training.warmup_steps=2", "model.max_length=2048",
             "training.load_in_4bit=false", "training.gradient_checkpointing=false", "training.bf16=false",
             "training.logging_steps=2", "wandb.enabled=false")
QUESTION = "Will this patient fall ill?"
PROMPT = ("data.prompt.template=" + json.dumps("{narrative}\n{question}\n"), f"data.prompt.question={QUESTION}",
          "data.prompt.answers={0: no, 1: yes}")
COLUMNS = ["subject_id", "prediction_time", "label", "predicted_label", "probability_Control", "probability_Case"]


class Place:
    """Two cohorts, their base models, a cache of shards, and the models trained on them."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="anam-predict-"))
        self.bert_data, self.bert_base = self.root / "bert-data", self.root / "bert-base"
        bert_support.write_cohort(self.bert_data, subjects=120, seed=5)
        bert_support.write_base(self.bert_base, self.bert_data)
        self.llm_data = self.root / "llm-data"
        subprocess.run([run_support.BIN / "anamnesis", "synth", "--out", self.llm_data, "--subjects", "60", "--seed",
                        "5"], check=True, capture_output=True, timeout=120)
        self.llm_base = self.llm_data / "base"

    def train(self, task, name, *more, data=None):
        bert = task == "finetune_bert"
        base, data = (self.bert_base, data or self.bert_data) if bert else (self.llm_base, self.llm_data)
        done = subprocess.run([str(run_support.BIN / "anamnesis"), "run", "--task", task, str(BERT if bert else LLM),
                               "--data-dir", str(self.root / "cache"), "--threads-per-rank", "1",
                               *bert_support.overrides(base, data, self.root / name,
                                                       *(SMALL_BERT if bert else SMALL_LLM), *more)],
                              capture_output=True, text=True, timeout=240)
        if done.returncode != 0:
            raise AssertionError(f"exit {done.returncode}\n{done.stderr}")
        return self.root / name

    def predict(self, model, out, *options, data=None, bert=True, split="held_out", more=()):
        """(exit code, stderr); `more` are KEY=VALUE."""
        data = data or (self.bert_data if bert else self.llm_data)
        done = subprocess.run([str(run_support.BIN / "anamnesis"), "predict", str(model), "--data",
                               str(BERT if bert else LLM), "--split", split, "--out", str(self.root / out),
                               "--data-dir", str(self.root / "cache"), *options,
                               *bert_support.overrides("unused", data, "unused", *more)],
                              capture_output=True, text=True, timeout=240, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        return done.returncode, done.stderr

    def rows(self, model, out, *options, **more):
        code, stderr = self.predict(model, out, *options, **more)
        if code != 0:
            raise AssertionError(f"exit {code}\n{stderr}")
        return list(csv.DictReader(io.StringIO((self.root / out).read_text())))

    def labels(self, data):
        lines = (data / "labels.csv").read_text(encoding="utf-8-sig").splitlines()
        return {line.split(",")[0]: line.split(",")[1] for line in lines[1:]}

    def narratives(self, bert, split="held_out"):
        data = self.bert_data if bert else self.llm_data
        rendered = subprocess.run([run_support.BIN / "anamnesis", "render", BERT if bert else LLM, "--split", split,
                                   "--subject", "all", *bert_support.overrides("unused", data, "unused")],
                                  capture_output=True, text=True, check=True, timeout=60).stdout
        return [line.split("\t", 1) for line in rendered.splitlines()]


place = None


def setUpModule():
    global place
    place = Place()
    place.bert = place.train("finetune_bert", "bert")
    place.classifier = place.train("classify_llm", "classifier")


def tearDownModule():
    if place is not None:
        shutil.rmtree(place.root, ignore_errors=True)


def auroc(rows):
    risks = [(float(row["probability_Case"]), row["label"] == "1") for row in rows]
    cases, controls = [r for r, case in risks if case], [r for r, case in risks if not case]
    wins = sum((c > o) + 0.5 * (c == o) for c in cases for o in controls)
    return wins / (len(cases) * len(controls))


OPENED = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
kind, folder, base, narratives = sys.argv[1], sys.argv[2], sys.argv[3], json.load(open(sys.argv[4]))
tokenizer = AutoTokenizer.from_pretrained(folder)
if kind == "whole":
    model = AutoModelForSequenceClassification.from_pretrained(folder)
else:
    from peft import PeftModel
    if kind == "prompt":
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, folder)
model.eval()
found = []
with torch.no_grad():
    for subject, text in narratives:
        if kind != "prompt":
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0].double()
        else:
            ids = tokenizer(text + "\\n" + sys.argv[5] + "\\n")["input_ids"]
            scores = []
            for answer in ("no", "yes"):
                tail = tokenizer(answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
                log_p = model(input_ids=torch.tensor([ids + tail])).logits[0].double().log_softmax(-1)
                scores.append(sum(log_p[len(ids) - 1 + i, t].item() for i, t in enumerate(tail)))
            logits = torch.tensor(scores, dtype=torch.double)
        found.append([subject, logits.softmax(-1).tolist()])
print(json.dumps(found))
"""


class Case(unittest.TestCase):
    def agrees_with_its_own_evaluation(self, rows, folder):
        evaluation = run_support.read_json(folder / "evaluation.json")
        expected = evaluation["held_out"]
        self.assertEqual(len(rows), expected["rows"])
        self.assertEqual(list(rows[0]), COLUMNS)
        self.assertAlmostEqual(auroc(rows), expected["metrics"]["auroc"]["value"], delta=1e-12)
        right = sum((float(row["probability_Case"]) > float(row["probability_Control"])) == (row["label"] == "1")
                    for row in rows)
        self.assertAlmostEqual(right / len(rows), expected["metrics"]["accuracy"]["value"], delta=1e-12)
        for row in rows:
            above = float(row["probability_Case"]) >= evaluation["alert_threshold"]
            self.assertEqual(row["predicted_label"], "1" if above else "0")
        alerts = sum(row["predicted_label"] == "1" for row in rows) / len(rows)
        self.assertAlmostEqual(alerts, expected["metrics"]["alert_rate"]["value"], delta=1e-12)

    def equals_the_libraries(self, rows, kind, folder, bert):
        if not (run_support.SOURCE / ".deps/oracle/stamp").exists():
            self.skipTest("oracle absent")
        path = place.root / "narratives.json"
        path.write_text(json.dumps(place.narratives(bert)))
        base = place.bert_base if bert else place.llm_base
        opened = subprocess.run([ORACLE, "-c", OPENED, kind, folder, base, path, QUESTION], capture_output=True,
                                text=True, timeout=240)
        self.assertEqual(opened.returncode, 0, opened.stderr[-2000:])
        seen = json.loads(opened.stdout.splitlines()[-1])
        self.assertEqual([row["subject_id"] for row in rows], [subject for subject, _ in seen])
        for row, (_, probabilities) in zip(rows, seen):
            self.assertAlmostEqual(float(row["probability_Control"]), probabilities[0], delta=1e-5)
            self.assertAlmostEqual(float(row["probability_Case"]), probabilities[1], delta=1e-5)


class Bert(Case):
    @classmethod
    def setUpClass(cls):
        cls.rows = place.rows(place.bert, "bert.csv")

    def test_the_measures_are_those_of_the_runs_own_evaluation(self):
        self.agrees_with_its_own_evaluation(self.rows, place.bert)

    def test_the_probabilities_are_those_of_transformers(self):
        self.equals_the_libraries(self.rows, "whole", place.bert, bert=True)

    def test_labels_are_those_of_the_file_and_times_those_of_events(self):
        labels = place.labels(place.bert_data)
        for row in self.rows:
            self.assertEqual(row["label"], labels[row["subject_id"]])
            self.assertRegex(row["prediction_time"], r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?)$")

    def test_any_number_of_threads_gives_the_same_bytes(self):
        for threads in ("1", "3"):
            place.rows(place.bert, f"bert-{threads}.csv", "--threads", threads)
            self.assertEqual((place.root / f"bert-{threads}.csv").read_bytes(), (place.root / "bert.csv").read_bytes())

    def test_on_tuning_the_alerts_are_those_the_threshold_was_chosen_by(self):
        rows = place.rows(place.bert, "tuning.csv", split="tuning")
        expected = run_support.read_json(place.bert / "evaluation.json")["tuning"]["metrics"]["alert_rate"]["value"]
        alerts = sum(row["predicted_label"] == "1" for row in rows) / len(rows)
        self.assertAlmostEqual(alerts, expected, delta=1e-12)

    def test_a_folder_that_transformers_wrote_takes_the_length_from_the_configuration(self):
        plain = place.root / "plain"
        plain.mkdir()
        for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "tokenizer.json"):
            shutil.copy(place.bert / name, plain / name)
        code, stderr = place.predict(plain, "plain.csv")
        self.assertEqual(code, 0, stderr)
        self.assertIn("a probability of 0.5", stderr)
        rows = list(csv.DictReader(io.StringIO((place.root / "plain.csv").read_text())))
        for row, ours in zip(rows, self.rows):
            self.assertAlmostEqual(float(row["probability_Case"]), float(ours["probability_Case"]), delta=1e-6)
            self.assertEqual(row["predicted_label"], "1" if float(row["probability_Case"]) >= 0.5 else "0")


class Sites(unittest.TestCase):
    def test_of_more_classes_the_likeliest_is_predicted(self):
        data = place.root / "sites"
        shutil.copytree(place.bert_data, data)
        with open(data / "labels.csv", newline="", encoding="utf-8-sig") as file:
            labels = list(csv.DictReader(file))
        for row in labels:
            site = "lung" if int(row["subject_id"]) % 2 else "breast, left"
            row["site"] = site if row["is_case"] == "1" else ""
        with open(data / "labels.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, labels[0])
            writer.writeheader()
            writer.writerows(labels)
        output = place.train("finetune_bert", "bert-sites", "model.num_classes=3", data=data)
        rows = place.rows(output, "sites.csv", data=data)
        self.assertEqual(list(rows[0])[4:], ["probability_Control", "probability_breast, left", "probability_lung"])
        expected = run_support.read_json(output / "evaluation.json")["held_out"]
        self.assertEqual(len(rows), expected["rows"])
        right = 0
        for row in rows:
            probabilities = [float(value) for name, value in row.items() if name.startswith("probability_")]
            self.assertAlmostEqual(sum(probabilities), 1, delta=1e-12)
            self.assertEqual(int(row["predicted_label"]), probabilities.index(max(probabilities)))
            right += row["predicted_label"] == row["label"]
        self.assertAlmostEqual(right / len(rows), expected["metrics"]["accuracy"]["value"], delta=1e-12)
        self.assertEqual([row["label"] for row in place.rows(output, "sites-tuning.csv", data=data, split="tuning",
                                                             more=["data.labels_filepath="])].count(""),
                         run_support.read_json(output / "evaluation.json")["tuning"]["rows"])


class BertAdapter(Case):
    def test_an_adapter_of_an_encoder_is_that_of_peft(self):
        lora = ("lora.r=4", "lora.lora_alpha=8", "lora.target_modules=[query, value]")
        output = place.train("finetune_bert", "bert-lora", *lora)
        rows = place.rows(output, "bert-lora.csv")
        self.agrees_with_its_own_evaluation(rows, output / "final_model")
        self.equals_the_libraries(rows, "adapter", output / "final_model", bert=True)


class LlmClassifier(Case):
    def test_it_is_that_of_peft_and_of_its_own_evaluation(self):
        rows = place.rows(place.classifier, "llm.csv", bert=False)
        final = place.classifier / "final_model"
        self.agrees_with_its_own_evaluation(rows, final)
        again = place.rows(final, "llm-final.csv", bert=False)
        self.assertEqual(rows, again)
        self.equals_the_libraries(rows, "adapter", final, bert=False)

    def test_an_adapter_that_peft_wrote_reads_as_configured_and_names_no_classes(self):
        plain = place.root / "plain-adapter"
        plain.mkdir()
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copy(place.classifier / "final_model" / name, plain / name)
        ours = place.rows(place.classifier, "llm-ours.csv", bert=False)
        rows = place.rows(plain, "llm-plain.csv", bert=False, more=["model.max_length=2048"])
        self.assertEqual(list(rows[0])[4:], ["probability_LABEL_0", "probability_LABEL_1"])
        for row, expected in zip(rows, ours):
            self.assertAlmostEqual(float(row["probability_LABEL_1"]), float(expected["probability_Case"]), delta=1e-6)
        code, stderr = place.predict(plain, "too-long.csv", bert=False, more=["model.max_length=4096"])
        self.assertEqual(code, 6)
        self.assertIn("positions: expected at most that", stderr)

    def test_a_question_is_answered_as_peft_answers_it(self):
        output = place.train("finetune_llm", "prompt", *PROMPT)
        rows = place.rows(output, "prompt.csv", bert=False)
        self.agrees_with_its_own_evaluation(rows, output / "final_model")
        self.equals_the_libraries(rows, "prompt", output / "final_model", bert=False)


class Unlabelled(unittest.TestCase):
    def copy_with_labels(self, name, keep):
        """The cohort with those lines of its labels for which `keep` gives one."""
        data = place.root / name
        shutil.copytree(place.bert_data, data)
        lines = (data / "labels.csv").read_text(encoding="utf-8-sig").splitlines()
        kept = [line for line in map(keep, lines[1:]) if line]
        (data / "labels.csv").write_text("\n".join([lines[0], *kept]) + "\n")
        return data

    def test_controls_without_a_label_are_predicted_alike(self):
        known = {row["subject_id"]: row for row in place.rows(place.bert, "known.csv")}
        data = self.copy_with_labels("cases-only", lambda line: line if line.split(",")[1] == "1" else None)
        rows = place.rows(place.bert, "cases-only.csv", data=data)
        self.assertEqual([row["subject_id"] for row in rows], list(known))
        self.assertIn("", {row["label"] for row in rows})
        for row in rows:
            expected = known[row["subject_id"]]
            self.assertEqual(row["label"], expected["label"] if expected["label"] == "1" else "")
            self.assertEqual(row | {"label": ""}, expected | {"label": ""})

    def test_cases_without_a_label_are_not_cut(self):
        known = {row["subject_id"]: row for row in place.rows(place.bert, "cut.csv", more=["data.cutoff_months=6"])}
        data = self.copy_with_labels("controls-only", lambda line: line if line.split(",")[1] == "0" else None)
        rows = place.rows(place.bert, "uncut.csv", data=data, more=["data.cutoff_months=6"])
        cases = [row for row in rows if row["label"] == ""]
        self.assertGreater(len(cases), 0)
        for row in cases:
            self.assertGreaterEqual(row["prediction_time"], known[row["subject_id"]]["prediction_time"])
        self.assertTrue(any(row["prediction_time"] > known[row["subject_id"]]["prediction_time"] for row in cases))

    def test_cases_without_a_date_are_predicted(self):
        data = self.copy_with_labels("no-dates", lambda line: line[:line.rindex(",") + 1])
        self.assertNotRegex((data / "labels.csv").read_text(), r"\d\d\d\d-\d\d-\d\d")
        rows = place.rows(place.bert, "no-dates.csv", data=data, more=["data.cutoff_months=6"])
        labels = place.labels(place.bert_data)
        self.assertEqual([row["label"] for row in rows], [labels[row["subject_id"]] for row in rows])

    def test_without_a_labels_file_nothing_is_known(self):
        rows = place.rows(place.bert, "no-file.csv", more=["data.labels_filepath="])
        self.assertEqual({row["label"] for row in rows}, {""})

    def test_training_still_refuses_a_subject_without_a_label(self):
        data = self.copy_with_labels("still", lambda line: line if line.split(",")[1] == "1" else None)
        place.rows(place.bert, "still.csv", data=data, split="train")
        with self.assertRaisesRegex(AssertionError, "has no row in"):
            done = subprocess.run([str(run_support.BIN / "anamnesis"), "run", "--task", "finetune_bert", str(BERT),
                                   "--data-dir", str(place.root / "cache"),
                                   *bert_support.overrides(place.bert_base, data, place.root / "never", *SMALL_BERT)],
                                  capture_output=True, text=True, timeout=120)
            raise AssertionError(done.stderr)


class Refusals(unittest.TestCase):
    def refused(self, code, expected, model, *options, out="refused.csv", **more):
        seen, stderr = place.predict(model, out, *options, **more)
        self.assertEqual(seen, code, stderr)
        self.assertIn(expected, stderr)
        if out == "refused.csv":
            self.assertFalse((place.root / out).exists())

    def test_a_file_that_is_there_is_kept(self):
        there = place.root / "there.csv"
        there.write_text("mine\n")
        self.refused(5, "--overwrite", place.bert, out="there.csv")
        self.assertEqual(there.read_text(), "mine\n")
        place.rows(place.bert, "there.csv", "--overwrite")
        self.assertTrue(there.read_text().startswith("subject_id,"))

    def test_what_cannot_be_written_is_said_first(self):
        self.refused(6, "not built yet", place.bert, out="refused.parquet")
        self.refused(3, "there is no folder", place.bert, out="nowhere/refused.csv")

    def test_splits(self):
        self.refused(6, "expected train, tuning or held_out", place.bert, split="test")
        data = place.root / "no-tuning"
        shutil.copytree(place.bert_data, data)
        shutil.rmtree(data / "tuning")
        self.refused(3, "has no folder tuning", place.bert, split="tuning", data=data)

    def test_what_is_no_classifier(self):
        pretrained = place.train("pretrain_llm", "pretrained")
        self.refused(6, "no classifier", pretrained, bert=False)
        self.refused(6, "not a trained classifier", place.bert_base)
        self.refused(6, "expected a trained classifier", place.bert_data)
        self.refused(3, "no such folder", place.root / "nowhere")

    def test_files_that_are_not_those_of_the_training(self):
        copy = place.root / "damaged"
        shutil.copytree(place.bert, copy)
        (copy / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
        self.refused(6, "tokenizer_config.json", copy)

    def test_a_base_with_another_tokenizer_or_other_weights(self):
        for name, change, expected in (("tokenizer.json", change_tokenizer, "another tokenizer"),
                                       ("config.json", change_config, "another base model")):
            path = place.llm_base / name
            before = path.read_bytes()
            try:
                path.write_text(change(before))
                code, stderr = place.predict(place.classifier, "refused.csv", bert=False)
            finally:
                path.write_bytes(before)
            self.assertNotEqual(code, 0)
            self.assertIn(expected, stderr)


def change_tokenizer(content):
    tokenizer = json.loads(content)
    vocabulary = tokenizer["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.get)
    vocabulary[words[-1]], vocabulary[words[-2]] = vocabulary[words[-2]], vocabulary[words[-1]]
    return json.dumps(tokenizer)


def change_config(content):
    return json.dumps(json.loads(content) | {"rms_norm_eps": 1e-3})


if __name__ == "__main__":
    unittest.main()
