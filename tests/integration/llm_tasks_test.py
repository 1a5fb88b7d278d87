# SPDX-License-Identifier: Apache-2.0
"""Workflow 2 and what builds on it: llm_pretrain.yaml byte for byte but for paths and sizes, then the same file as
finetune_llm.yaml from its final_model, as a question with answers, and as a classifier; on a cohort and a base model of
our own generator. What they write is opened by the real libraries."""

import json
import math
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import bert_support
import run_support

CONFIG = run_support.SOURCE / "configs/jobs/llm_pretrain.yaml"
ORACLE = run_support.SOURCE / "tools/oracle"
SMALL = ("training.epochs=2", "training.learning_rate=2e-3", "training.warmup_steps=2", "model.max_length=256",
         "training.load_in_4bit=false", "training.gradient_checkpointing=false", "training.bf16=false",
         "training.logging_steps=2", "wandb.enabled=false")
QUESTION = "Will this patient fall ill?"
PROMPT = ("data.prompt.template=" + json.dumps("{narrative}\n{question}\n"), f"data.prompt.question={QUESTION}",
          "data.prompt.answers={0: no, 1: yes}")
TREE = {"adapter_config.json", "adapter_model.safetensors", "README.md", "manifest.json", "trainer_state.json",
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}


class Place:
    """A cohort, a base model and a cache of shards, shared by the tests."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="anam-llm-"))
        self.data = self.root / "data"
        subprocess.run([run_support.BIN / "anamnesis", "synth", "--out", self.data, "--subjects", "60", "--seed", "5"],
                       check=True, capture_output=True, timeout=120)
        self.base = self.data / "base"

    def command(self, task, name, *more, ranks=1):
        return [str(run_support.BIN / "anamnesis"), "run", "--task", task, str(CONFIG), "--data-dir",
                str(self.root / "cache"), "--ranks", str(ranks), "--threads-per-rank", "1",
                *bert_support.overrides(self.base, self.data, self.root / name, *SMALL, *more)]

    def run(self, task, name, *more, ranks=1):
        done = subprocess.run(self.command(task, name, *more, ranks=ranks), capture_output=True, text=True, timeout=240)
        if done.returncode != 0:
            raise AssertionError(f"exit {done.returncode}\n{done.stderr}")
        return self.root / name, done.stderr

    def refused(self, task, *more):
        done = subprocess.run(self.command(task, "refused", *more), capture_output=True, text=True, timeout=60)
        if (self.root / "refused").exists():
            raise AssertionError("a refused run left its folder")
        return done.returncode, done.stderr


place = None


def setUpModule():
    global place
    place = Place()
    place.pretrained, _ = place.run("pretrain_llm", "pretrained")
    place.final = place.pretrained / "final_model"


def tearDownModule():
    if place is not None:
        shutil.rmtree(place.root, ignore_errors=True)


def losses(output):
    history = run_support.read_json(output / "final_model/trainer_state.json")["log_history"]
    return [row["loss"] for row in history if "loss" in row]


def files_of(folder):
    return {path.name for path in folder.iterdir()}


class FromCheckpoint(unittest.TestCase):
    def test_fine_tuning_without_a_prompt_goes_on_from_the_adapter(self):
        output, _ = place.run("finetune_llm", "continued", f"model.pretrained_checkpoint={place.final}")
        self.assertLess(losses(output)[0], losses(place.pretrained)[0] - 0.3)
        self.assertEqual(files_of(output / "final_model"), TREE)
        config = run_support.read_json(output / "final_model/adapter_config.json")
        self.assertEqual(config["base_model_name_or_path"], str(place.base))

    def test_an_output_folder_stands_for_its_final_model_and_ranks_change_nothing(self):
        one, _ = place.run("finetune_llm", "one", f"model.pretrained_checkpoint={place.pretrained}",
                           "training.epochs=1")
        two, _ = place.run("finetune_llm", "two", f"model.pretrained_checkpoint={place.final}", "training.epochs=1",
                           ranks=2)
        self.assertEqual(run_support.sha256(one / "final_model/adapter_model.safetensors"),
                         run_support.sha256(two / "final_model/adapter_model.safetensors"))

    def test_a_whole_model_takes_the_place_of_the_base(self):
        other = place.root / "other-base"
        shutil.copytree(place.base, other)
        output, stderr = place.run("finetune_llm", "whole", f"model.pretrained_checkpoint={other}",
                                   "training.epochs=1")
        self.assertIn("takes the place of model.model_name", stderr)
        config = run_support.read_json(output / "final_model/adapter_config.json")
        self.assertEqual(config["base_model_name_or_path"], str(other))

    def test_an_adapter_that_does_not_fit_is_refused_before_anything_is_written(self):
        start = f"model.pretrained_checkpoint={place.final}"
        for more, expected in (
                (["lora.r=8"], "set lora.r to 16"),
                (["lora.use_rslora=false"], "lora.use_rslora"),
                (["lora.target_modules=[q_proj]"], "lora.target_modules"),
                ([f"model.pretrained_checkpoint={place.data}"], "holds neither adapter_config.json")):
            code, text = place.refused("finetune_llm", start, *more)
            self.assertEqual(code, 6, text)
            self.assertIn(expected, text)
        code, text = place.refused("finetune_llm", "model.pretrained_checkpoint=/nowhere")
        self.assertEqual(code, 3, text)

    def test_an_adapter_for_another_base_is_refused(self):
        other = place.root / "other"
        subprocess.run([run_support.BIN / "anamnesis", "synth", "--out", other, "--subjects", "40", "--seed", "6"],
                       check=True, capture_output=True, timeout=120)
        code, text = place.refused("finetune_llm", f"model.pretrained_checkpoint={place.final}",
                                   f"model.model_name={other / 'base'}")
        self.assertEqual(code, 6)
        self.assertIn("is an adapter for another base", text)


class BadBase(unittest.TestCase):
    def test_a_base_with_a_nan_is_named_before_the_first_step(self):
        damaged = place.root / "damaged"
        shutil.copytree(place.base, damaged)
        name, path = "model.layers.1.mlp.up_proj.weight", damaged / "model.safetensors"
        content = bytearray(path.read_bytes())
        header = int.from_bytes(content[:8], "little")
        begin = 8 + header + json.loads(content[8:8 + header])[name]["data_offsets"][0]
        content[begin:begin + 4] = b"\x00\x00\xc0\x7f"
        path.write_bytes(content)
        done = subprocess.run(place.command("pretrain_llm", "nan", f"model.model_name={damaged}"), capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 6)
        self.assertIn(f"tensor '{name}' holds a NaN or an infinity", done.stderr)

    def test_a_length_beyond_the_models_positions(self):
        code, text = place.refused("pretrain_llm", "model.max_length=2049")
        self.assertEqual(code, 6)
        self.assertIn("model.max_length: 2049", text)

    def test_a_tokenizer_with_more_ids_than_the_model(self):
        base = place.root / "larger"
        shutil.copytree(place.base, base)
        tokenizer = run_support.read_json(base / "tokenizer.json")
        size = run_support.read_json(base / "config.json")["vocab_size"]
        tokenizer["added_tokens"].append(tokenizer["added_tokens"][-1] | {"id": size, "content": "<more>"})
        (base / "tokenizer.json").write_text(json.dumps(tokenizer))
        code, text = place.refused("pretrain_llm", f"model.model_name={base}")
        self.assertEqual(code, 6)
        self.assertIn(f"the tokenizer has {size + 1} tokens, the model's vocab_size is {size}", text)

    def test_fp16_and_bf16_together(self):
        code, text = place.refused("pretrain_llm", "training.fp16=true", "training.bf16=true")
        self.assertEqual(code, 6)
        self.assertIn("training.bf16", text)


class Prompt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.output, _ = place.run("finetune_llm", "prompt", *PROMPT)

    def test_the_answers_are_measured_like_classes(self):
        evaluation = run_support.read_json(self.output / "final_model/evaluation.json")
        for split in ("tuning", "held_out"):
            self.assertGreater(evaluation[split]["rows"], 0)
            self.assertIn("auroc", evaluation[split]["metrics"])
        manifest = run_support.read_json(self.output / "final_model/manifest.json")
        self.assertEqual(manifest["splits_read"], ["held_out", "train", "tuning"])

    def test_only_the_answer_and_eos_are_learned(self):
        # Of a random base every answer of one token and EOS costs about ln V each.
        vocabulary = run_support.read_json(place.base / "config.json")["vocab_size"]
        self.assertLess(abs(losses(self.output)[0] - math.log(vocabulary)), 1.0)
        self.assertLess(losses(self.output)[-1], losses(self.output)[0] - 0.5)

    def test_any_number_of_ranks_gives_the_same_model(self):
        two, _ = place.run("finetune_llm", "prompt-two", *PROMPT, ranks=2)
        for name in ("adapter_model.safetensors", "evaluation.json"):
            self.assertEqual(run_support.sha256(two / "final_model" / name),
                             run_support.sha256(self.output / "final_model" / name))

    def test_a_prompt_that_cannot_be_asked_is_refused(self):
        template, question, answers = PROMPT
        for pairs, expected in (
                ((template, question), "data.prompt.answers"),
                ((question, answers), "data.prompt.template"),
                ((template.replace("{narrative}", ""), question, answers), "{narrative}"),
                ((template.replace("{question}", ""), question, answers), "{question}"),
                ((template, question, "data.prompt.answers={0: no, 1: no}"), "the same answer"),
                ((template, question, "data.prompt.answers={0: no, 2: yes}"), "each of the classes 0 to 1"),
                ((template, question, answers, "model.max_length=8"), "has no room for data.prompt")):
            code, text = place.refused("finetune_llm", *pairs)
            self.assertEqual(code, 6, text)
            self.assertIn(expected, text)


class Classifier(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.output, _ = place.run("classify_llm", "classifier", f"model.pretrained_checkpoint={place.final}")

    def test_it_writes_a_peft_adapter_of_a_sequence_classifier(self):
        config = run_support.read_json(self.output / "final_model/adapter_config.json")
        self.assertEqual(config["task_type"], "SEQ_CLS")
        self.assertEqual(config["modules_to_save"], ["score"])
        self.assertEqual(files_of(self.output / "final_model"), TREE | {"evaluation.json"})

    def test_any_number_of_ranks_gives_the_same_model(self):
        two, _ = place.run("classify_llm", "classifier-two", f"model.pretrained_checkpoint={place.final}", ranks=2)
        for name in ("adapter_model.safetensors", "evaluation.json"):
            self.assertEqual(run_support.sha256(two / "final_model" / name),
                             run_support.sha256(self.output / "final_model" / name))

    def test_what_is_not_built_is_refused_by_its_key(self):
        for pair in ("model.freeze_llm=false", "model.train_lora=false", "model.head_type=mlp"):
            code, text = place.refused("classify_llm", pair)
            self.assertEqual(code, 6)
            self.assertIn("not built yet", text)
            self.assertIn(pair.split("=")[0], text)


OPENED = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
classifier, prompt, base, narratives = sys.argv[1], sys.argv[2], sys.argv[3], json.load(open(sys.argv[4]))
question, answers = json.loads(sys.argv[5])
tokenizer = AutoTokenizer.from_pretrained(classifier)
model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, dtype=torch.float32)
model = PeftModel.from_pretrained(model, classifier).eval()
asked = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
asked = PeftModel.from_pretrained(asked, prompt).eval()
losses, answer_losses = [], []
with torch.no_grad():
    for text, label in narratives:
        logits = model(**tokenizer(text, return_tensors="pt")).logits.double()
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor([label])).item())
        ids = tokenizer(text + "\\n" + question + "\\n")["input_ids"]
        scores = []
        for answer in answers:
            tail = tokenizer(answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
            log_p = asked(input_ids=torch.tensor([ids + tail])).logits[0].double().log_softmax(-1)
            scores.append(sum(log_p[len(ids) - 1 + i, t].item() for i, t in enumerate(tail)))
        scores = torch.tensor([scores], dtype=torch.double)
        answer_losses.append(torch.nn.functional.cross_entropy(scores, torch.tensor([label])).item())
print(json.dumps([sum(losses) / len(losses), sum(answer_losses) / len(answer_losses)]))
"""


class Oracle(unittest.TestCase):
    def test_transformers_and_peft_have_our_losses_on_held_out(self):
        if not (run_support.SOURCE / ".deps/oracle/stamp").exists():
            self.skipTest("oracle absent")
        length = "model.max_length=2048"  # whole narratives, or the losses would be of other texts
        classifier, _ = place.run("classify_llm", "long-classifier", length, "training.epochs=1")
        prompt, _ = place.run("finetune_llm", "long-prompt", *PROMPT, length, "training.epochs=1")
        cases = {}
        for line in (place.data / "labels.csv").read_text(encoding="utf-8-sig").splitlines()[1:]:
            cases[line.split(",")[0]] = int(line.split(",")[1])
        rendered = subprocess.run([run_support.BIN / "anamnesis", "render", CONFIG, "--split", "held_out", "--subject",
                                   "all", *bert_support.overrides(place.base, place.data, classifier)],
                                  capture_output=True, text=True, check=True, timeout=60).stdout
        narratives = [[line.split("\t", 1)[1], cases[line.split("\t", 1)[0]]] for line in rendered.splitlines()]
        path = place.root / "narratives.json"
        path.write_text(json.dumps(narratives))
        opened = subprocess.run([ORACLE, "-c", OPENED, classifier / "final_model", prompt / "final_model", place.base,
                                 path, json.dumps([QUESTION, ["no", "yes"]])], capture_output=True, text=True,
                                timeout=240)
        self.assertEqual(opened.returncode, 0, opened.stderr[-2000:])
        seen = json.loads(opened.stdout.splitlines()[-1])
        for output, loss in ((classifier, seen[0]), (prompt, seen[1])):
            ours = run_support.read_json(output / "final_model/evaluation.json")["held_out"]
            self.assertEqual(ours["rows"], len(narratives))
            self.assertAlmostEqual(loss, ours["metrics"]["loss"]["value"], delta=1e-5)


if __name__ == "__main__":
    unittest.main()
