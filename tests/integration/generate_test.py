# SPDX-License-Identifier: Apache-2.0
"""anamnesis generate through the command line: the base and the final_model of a run on a cohort of our own generator,
against transformers and PEFT; sampling by seed; what is refused, and that a prompt is never repeated there."""

import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import bert_support
import run_support

CONFIG = run_support.SOURCE / "configs/jobs/llm_pretrain.yaml"
SMALL = ("training.epochs=2", "training.learning_rate=2e-3", "training.warmup_steps=2", "model.max_length=256",
         "training.load_in_4bit=false", "training.gradient_checkpointing=false", "training.bf16=false",
         "wandb.enabled=false")
NEW_TOKENS = 128
SECRET = "Zebrafinch syndrome"


class Place:
    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="anam-generate-"))
        self.data = self.root / "data"
        self.anamnesis("synth", "--out", self.data, "--subjects", "60", "--seed", "5")
        self.base = self.data / "base"
        self.output = self.root / "out"
        given = bert_support.overrides(self.base, self.data, self.output, *SMALL)
        self.anamnesis("run", "--task", "pretrain_llm", CONFIG, "--data-dir", self.root / "cache", "--ranks", "1",
                       "--threads-per-rank", "1", *given)
        self.final = self.output / "final_model"
        rendered = self.anamnesis("render", CONFIG, "--split", "held_out", "--subject", "all", *given).stdout
        self.narratives = [line.split("\t", 1)[1] for line in rendered.splitlines()]

    @staticmethod
    def anamnesis(*words):
        done = subprocess.run([run_support.BIN / "anamnesis", *map(str, words)], capture_output=True, text=True,
                              timeout=240)
        if done.returncode != 0:
            raise AssertionError(f"exit {done.returncode}\n{done.stderr}")
        return done


place = None


def setUpModule():
    global place
    place = Place()


def tearDownModule():
    if place is not None:
        shutil.rmtree(place.root, ignore_errors=True)


def generate(model, *words, prompt=None):
    """With a prompt: from standard input."""
    more = [] if prompt is None else ["--prompt", "-"]
    return subprocess.run([str(run_support.BIN / "anamnesis"), "generate", str(model), *more, *words],
                          input=prompt or "", capture_output=True, text=True, timeout=120)


def text_of(model, prompt, *words):
    done = generate(model, *words, prompt=prompt)
    if done.returncode != 0:
        raise AssertionError(f"exit {done.returncode}\n{done.stderr}")
    return done.stdout


OPENED = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
base, adapter, prompts, count = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
tokenizer = AutoTokenizer.from_pretrained(adapter)
plain = AutoModelForCausalLM.from_pretrained(base).eval()
def texts(model):
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt")
        out = model.generate(**ids, do_sample=False, max_new_tokens=count, pad_token_id=0)
        yield tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True)
found = [list(texts(plain))]
found.append(list(texts(PeftModel.from_pretrained(plain, adapter).eval())))
print(json.dumps(found))
"""


class Greedy(unittest.TestCase):
    def test_the_text_is_that_of_transformers_and_peft(self):
        if not (run_support.SOURCE / ".deps/oracle/stamp").exists():
            self.skipTest("oracle absent")
        prompts = [narrative[:160] for narrative in place.narratives[:3]]
        opened = subprocess.run([run_support.SOURCE / "tools/oracle", "-c", OPENED, place.base, place.final,
                                 json.dumps(prompts), str(NEW_TOKENS)], capture_output=True, text=True, timeout=240)
        self.assertEqual(opened.returncode, 0, opened.stderr[-2000:])
        plain, adapted = json.loads(opened.stdout.splitlines()[-1])
        for prompt, expected, other in zip(prompts, adapted, plain):
            # What the last token may have cut in two is left out.
            self.assertEqual(text_of(place.final, prompt), expected.rstrip("\ufffd") + "\n")
            self.assertEqual(text_of(place.base, prompt), other.rstrip("\ufffd") + "\n")
        self.assertNotEqual(plain, adapted)

    def test_an_output_folder_stands_for_its_final_model_and_the_prompt_may_be_a_word(self):
        prompt = place.narratives[0][:80]
        expected = text_of(place.final, prompt + "\n", "--max-new-tokens", "12")
        done = generate(place.output, "--prompt", prompt, "--max-new-tokens", "12")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, expected, ""))

    def test_an_eos_of_a_list_ends_the_text(self):
        changed = place.root / "ends"
        shutil.copytree(place.base, changed)
        ids = list(range(place_vocabulary()))
        (changed / "generation_config.json").write_text(json.dumps({"eos_token_id": ids}))
        whole = text_of(place.base, "AGE", "--max-new-tokens", "1")
        self.assertEqual(text_of(changed, "AGE", "--max-new-tokens", "50"), whole)


def place_vocabulary():
    return run_support.read_json(place.base / "config.json")["vocab_size"]


class Sampled(unittest.TestCase):
    def test_the_seed_decides_the_text(self):
        drawn = [text_of(place.final, place.narratives[0][:80], "--temperature", "1.2", "--top-p", "0.95", "--seed",
                         seed, "--max-new-tokens", "40") for seed in ("1", "1", "2")]
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])


class Refused(unittest.TestCase):
    def refuse(self, model, expected, code=6, words=(), prompt=SECRET):
        done = generate(model, *words, prompt=prompt)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertIn(expected, done.stderr)
        self.assertNotIn("Zebrafinch", done.stderr)

    def copy(self, name):
        changed = place.root / name
        shutil.copytree(place.final, changed)
        return changed

    def test_a_prompt_longer_than_the_models_positions(self):
        self.refuse(place.final, "tokens, the model has 2048 positions", prompt=SECRET * 2000)

    def test_folders_that_hold_no_model(self):
        self.refuse(place.root / "nowhere", "is no directory")
        self.refuse(place.root, "holds neither adapter_config.json")

    def test_an_adapter_that_is_damaged(self):
        cut = self.copy("cut")
        weights = cut / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-9])
        self.refuse(cut, "adapter_model.safetensors")
        weights.unlink()
        self.refuse(cut, "adapter_model.safetensors")
        (cut / "adapter_config.json").write_text("{")
        self.refuse(cut, "adapter_config.json")

    def test_the_adapter_of_a_classifier_or_of_a_base_that_is_gone(self):
        changed = self.copy("classifier")
        config = run_support.read_json(changed / "adapter_config.json")
        (changed / "adapter_config.json").write_text(json.dumps(config | {"task_type": "SEQ_CLS"}))
        self.refuse(changed, "adapter of a classifier")
        (changed / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "/nowhere"}))
        self.refuse(changed, "base_model_name_or_path: /nowhere")

    def test_weights_that_are_not_numbers(self):
        nan = place.root / "nan"
        shutil.copytree(place.base, nan)
        weights = nan / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4000] + b"\xff" * 4000)
        self.refuse(nan, "holds a NaN or an infinity")

    def test_wrong_flags(self):
        for words in (["--temperature", "-1"], ["--top-p", "0"], ["--max-new-tokens", "0"], ["--seed", "1"],
                      ["--top-p", "0.9"], ["Zebrafinch", "finch"], ["--beam"]):
            self.refuse(place.final, "--help", code=2, words=words)
        self.assertEqual(generate(place.final).returncode, 2)

    def test_text_that_is_not_utf_8(self):
        done = subprocess.run([run_support.BIN / "anamnesis", "generate", place.final, "--prompt", "-"],
                              input=b"\xff\xfe Zebrafinch", capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 6)
        self.assertNotIn(b"Zebrafinch", done.stderr)


class Interrupted(unittest.TestCase):
    def test_ctrl_c_is_exit_code_130(self):
        process = subprocess.Popen([run_support.BIN / "anamnesis", "generate", place.final, "--prompt", "AGE",
                                    "--max-new-tokens", "1000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        mapped = pathlib.Path(f"/proc/{process.pid}/status")
        while process.poll() is None and "Name:\tanamnesis-rank" not in mapped.read_text():
            time.sleep(0.01)
        while process.poll() is None and int(mapped.read_text().split("SigCgt:\t")[1].split()[0], 16) & 2 == 0:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        self.assertEqual((process.returncode, out), (130, b""))


if __name__ == "__main__":
    unittest.main()
