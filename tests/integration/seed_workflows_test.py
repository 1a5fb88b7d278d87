# SPDX-License-Identifier: Apache-2.0
"""The seed's workflows on patients of synthea-seed, its YAML byte for byte but for paths: QLoRA, bfloat16, recomputed
layers, dropout and warm-up as written there, tiny models in place of the named ones. What they write is opened by
transformers and PEFT, with equal predictions. The first subjects of each split stand for all: minutes become seconds."""

import csv
import io
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import tempfile
import unittest

import bert_support
import run_support

SEED = run_support.SHARED / "synthea-seed"
BERT = run_support.SOURCE / "configs/jobs/fine-tune-bert.yaml"
LLM = run_support.SOURCE / "configs/jobs/llm_pretrain.yaml"
ORACLE = run_support.SOURCE / "tools/oracle"
PROMPT = "AGE_decile 5, FEMALE, Hypertension, Diabetes"  # of the seed's snippet
NEW_TOKENS = 24


def copy_subjects(folder, subjects):
    """The tables, and the first subjects of each split."""
    folder.mkdir(parents=True)
    for path in SEED.glob("*.csv"):
        shutil.copyfile(path, folder / path.name)
    for split, left in subjects.items():
        (folder / split).mkdir()
        for path in sorted((SEED / split).glob("*.pkl")):
            taken = pickle.loads(path.read_bytes())[:left]  # the shared set, trusted
            if taken:
                (folder / split / path.name).write_bytes(pickle.dumps(taken, protocol=4))
            left -= len(taken)


class Place:
    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="anam-seed-"))
        self.bert_data, self.llm_data = self.root / "bert-data", self.root / "llm-data"
        copy_subjects(self.bert_data, {"train": 24, "tuning": 8, "held_out": 12})
        copy_subjects(self.llm_data, {"train": 4, "tuning": 2, "held_out": 2})
        self.bert_base, self.llm_base = self.root / "bert-base", self.root / "llm-base"
        bert_support.write_base(self.bert_base, self.bert_data)
        run_support.write_base(self.llm_base)

    def anamnesis(self, *words):
        done = subprocess.run([str(run_support.BIN / "anamnesis"), *map(str, words)], capture_output=True, text=True,
                              timeout=280, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        if done.returncode != 0:
            raise AssertionError(f"exit {done.returncode}\n{done.stderr}")
        return done

    def run(self, task, name, *more):
        bert = task == "finetune_bert"
        base, data = (self.bert_base, self.bert_data) if bert else (self.llm_base, self.llm_data)
        self.anamnesis("run", "--task", task, BERT if bert else LLM, "--data-dir", self.root / "cache", "--ranks", "1",
                       "--threads-per-rank", "1", *bert_support.overrides(base, data, self.root / name, *more))
        return self.root / name

    def opened(self, script, *words):
        """What a Python script of the oracle prints, as JSON."""
        done = subprocess.run([ORACLE, "-c", script, *map(str, words)], capture_output=True, text=True, timeout=240)
        if done.returncode != 0:
            raise AssertionError(done.stderr[-2000:])
        return json.loads(done.stdout.splitlines()[-1])


place = None


def setUpModule():
    global place
    if not SEED.is_dir() or run_support.shared_data_is_absent():
        raise unittest.SkipTest("shared data absent")
    if not (run_support.SOURCE / ".deps/oracle/stamp").exists():
        raise unittest.SkipTest("oracle absent")
    place = Place()


def tearDownModule():
    if place is not None:
        shutil.rmtree(place.root, ignore_errors=True)


PREDICTED = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, narratives = sys.argv[1], json.load(open(sys.argv[2]))
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
def newest(text):
    # The most of the newest phrases that have room; no term of this set holds a comma.
    phrases = text.split(", ")
    for first in range(len(phrases)):
        inputs = tokenizer(", ".join(phrases[first:]), return_tensors="pt", verbose=False)
        if inputs["input_ids"].shape[1] <= 512:
            return first > 0, inputs
found = []
with torch.no_grad():
    for subject, text in narratives:
        cut, inputs = newest(text)
        found.append([subject, model(**inputs).logits[0].double().softmax(-1).tolist(), cut])
print(json.dumps(found))
"""


class Workflow1(unittest.TestCase):
    def test_a_bert_is_fine_tuned_and_transformers_predicts_the_same(self):
        output = place.run("finetune_bert", "bert")
        self.assertLessEqual({"config.json", "pytorch_model.bin", "training_args.bin", "trainer_state.json",
                              "model.safetensors"}, {path.name for path in output.iterdir()})
        given = bert_support.overrides("unused", place.bert_data, "unused")
        place.anamnesis("predict", output, "--data", BERT, "--split", "held_out", "--out", place.root / "bert.csv",
                        "--data-dir", place.root / "cache", *given)
        rows = list(csv.DictReader(io.StringIO((place.root / "bert.csv").read_text())))
        rendered = place.anamnesis("render", BERT, "--split", "held_out", "--subject", "all", *given).stdout
        narratives = place.root / "narratives.json"
        narratives.write_text(json.dumps([line.split("\t", 1) for line in rendered.splitlines()]))
        seen = place.opened(PREDICTED, output, narratives)
        self.assertEqual([row["subject_id"] for row in rows], [subject for subject, _, _ in seen])
        self.assertGreater(sum(cut for _, _, cut in seen), 2)
        for row, (subject, probabilities, _) in zip(rows, seen):
            self.assertAlmostEqual(float(row["probability_Control"]), probabilities[0], delta=1e-5, msg=subject)


GENERATED = """
import json, sys, torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer
found = []
for folder in sys.argv[3:]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoPeftModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = tokenizer(sys.argv[1], return_tensors="pt")
    out = model.generate(**ids, do_sample=False, max_new_tokens=int(sys.argv[2]), pad_token_id=0)
    text = tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True)
    found.append([text, model.peft_config["default"].base_model_name_or_path])
print(json.dumps(found))
"""


class Workflow2(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pretrained = place.run("pretrain_llm", "pretrained")
        cls.finetuned = place.run("finetune_llm", "finetuned",
                                  f"model.pretrained_checkpoint={cls.pretrained / 'final_model'}")

    def test_the_settings_are_the_seeds(self):
        spec = run_support.read_json(self.pretrained / "final_model/manifest.json")["resolved_spec"]
        training = spec["training"]
        self.assertTrue(training["load_in_4bit"] and training["bf16"] and training["gradient_checkpointing"])
        self.assertEqual((spec["model"]["max_length"], training["warmup_steps"], training["epochs"]), (2048, 500, 3))
        self.assertEqual((spec["lora"]["use_rslora"], spec["lora"]["lora_dropout"]), (True, 0.05))

    def test_the_trees_are_the_seeds(self):
        for output in (self.pretrained, self.finetuned):
            names = {path.name for path in output.iterdir()}
            self.assertLessEqual({"final_model", "runs", "wandb"}, names)
            self.assertTrue(any(name.startswith("checkpoint-") for name in names))
            self.assertLessEqual({"adapter_config.json", "adapter_model.safetensors"},
                                 {path.name for path in (output / "final_model").iterdir()})

    def test_peft_generates_the_same_text(self):
        folders = [self.pretrained / "final_model", self.finetuned / "final_model"]
        seen = place.opened(GENERATED, PROMPT, NEW_TOKENS, *folders)
        for folder, (text, base) in zip(folders, seen):
            ours = place.anamnesis("generate", folder, "--prompt", PROMPT, "--max-new-tokens", NEW_TOKENS).stdout
            self.assertEqual(ours, text.rstrip("\ufffd") + "\n")
            self.assertEqual(base, str(place.llm_base))


if __name__ == "__main__":
    unittest.main()
