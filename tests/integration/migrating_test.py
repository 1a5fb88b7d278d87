# SPDX-License-Identifier: Apache-2.0
"""docs/migrating.md keeps its word: every command of its tables runs, on the seed's own YAML with the paths and values
changed that the document names; what it calls not built yet is refused in those words. Standard library only."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

import bert_support

SOURCE = pathlib.Path(os.environ["ANAMNESIS_SOURCE_DIR"])
BIN = pathlib.Path(os.environ["ANAMNESIS_BIN_DIR"])
SHARED = pathlib.Path(os.environ.get("ANAMNESIS_SHARED_DIR", SOURCE.parent / "shared"))
TEXT = (SOURCE / "docs/migrating.md").read_text(encoding="utf-8")
NOT_BUILT = "not built yet"
# Unsloth wants a GPU: PEFT on the CPU opens the same folder.
WITHOUT_UNSLOTH = """
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer
model = AutoPeftModelForCausalLM.from_pretrained("results/text_based/llm_pretrain/final_model/")
tokenizer = AutoTokenizer.from_pretrained("results/text_based/llm_pretrain/final_model/")
"""
folder = None


def rows(columns):
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TEXT.splitlines() if line.startswith("| ")]
    return [row for row in cells if len(row) == columns and row[0] not in ("old", "key")]


def commands():
    """(old, words of the command, state) of each row."""
    return [(old, shlex.split(new.strip("`")), state) for old, new, state in rows(3)]


def set_key(text, dotted, old, new):
    """The YAML with one value changed, which must be what the document says it is."""
    section, key = dotted.split(".")
    pattern = re.compile(rf"(^{section}:\n(?:[ \t#].*\n|\n)*?  {key}: ){re.escape(old)}(?=\s)", re.MULTILINE)
    changed, count = pattern.subn(rf"\g<1>{new}", text)
    if count != 1:
        raise AssertionError(f"{dotted}: {old} is not in the seed's YAML")
    return changed


def write_configurations():
    shutil.copytree(SOURCE / "configs", folder / "configs")
    shutil.copyfile(SOURCE / "configs/sweep.yaml", folder / "sweep.yaml")
    paths = {"/path/to/tokenized/data/": "cohort/", "/path/to/": "cohort/"}
    for name in ("llm_pretrain", "fine-tune-bert"):
        text = (folder / f"configs/jobs/{name}.yaml").read_text()
        for old, new in paths.items():
            text = text.replace(old, new)
        if name == "llm_pretrain":
            for key, old, new, _ in rows(4):
                text = set_key(text, key.strip("`"), old.strip("`"), new.strip("`"))
            (folder / "finetune_llm.yaml").write_text(text)
        else:
            text = re.sub(r"model_name: \S+", "model_name: cohort/bert", text)
        (folder / f"{name}.yaml").write_text(text)


def run(words):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "ANAMNESIS_"))}
    environment |= {"ANAMNESIS_DATA_DIR": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
    return subprocess.run([BIN / words[0], *words[1:]], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)


def setUpModule():
    global folder
    folder = pathlib.Path(tempfile.mkdtemp(prefix="anam-migrating-"))
    done = run(["anamnesis", "synth", "--out", "cohort", "--subjects", "20"])
    assert done.returncode == 0, done.stdout
    bert_support.write_base(folder / "cohort/bert", folder / "cohort")
    write_configurations()


def tearDownModule():
    run(["anamnesis", "down"])  # says so where the document did it already
    shutil.rmtree(folder, ignore_errors=True)


class Migrating(unittest.TestCase):
    def test_every_row_does_what_it_says(self):
        works = refused = 0
        for old, words, state in commands():
            with self.subTest(" ".join(words)):
                done = run(words)
                if state.startswith("works"):
                    self.assertEqual(done.returncode, 0, done.stdout)
                    works += 1
                else:
                    self.assertTrue(state.startswith(NOT_BUILT), state)
                    self.assertEqual(done.returncode, 6, done.stdout)
                    self.assertIn(NOT_BUILT, done.stdout)
                    refused += 1
        self.assertGreater(works, 8)
        self.assertGreater(refused, 1)

    def test_training_wrote_what_the_old_pipeline_wrote(self):
        output = folder / "results/text_based/llm_pretrain"
        self.assertTrue((output / "final_model/adapter_config.json").exists())
        self.assertTrue((output / "final_model/adapter_model.safetensors").exists())
        self.assertTrue(list(output.glob("checkpoint-*/adapter_model.safetensors")))
        self.assertTrue(list((output / "runs").iterdir()))

    @unittest.skipUnless((SHARED / "design/seed.md").exists(), "shared data absent")
    @unittest.skipUnless((SOURCE / ".deps/oracle/stamp").exists(), "oracle absent")
    def test_the_seeds_inference_snippets_open_what_training_wrote(self):
        seed = (SHARED / "design/seed.md").read_text(encoding="utf-8")
        bert, llm = re.findall(r"```python\n(.*?)```", seed, re.DOTALL)
        llm, count = re.subn(r"from unsloth.*for_inference\(model\)\n", WITHOUT_UNSLOTH, llm, flags=re.DOTALL)
        self.assertEqual(count, 1)
        llm = llm.replace('.to("cuda")', "").replace("print(tokenizer.decode", "text = str(tokenizer.decode")
        for code, told in ((bert, "print('class', prediction.item())"), (llm, "print('characters', len(text))")):
            done = subprocess.run([SOURCE / "tools/oracle", "-c", code + "\n" + told], cwd=folder, text=True,
                                  capture_output=True, timeout=120, env=os.environ | {"HF_HUB_OFFLINE": "1"})
            self.assertEqual(done.returncode, 0, done.stderr[-2000:])
            self.assertRegex(done.stdout, r"class [01]|characters [1-9]")

    @unittest.skipUnless((SHARED / "design/seed.md").exists(), "shared data absent")
    def test_every_command_of_the_seed_has_a_row(self):
        seed = (SHARED / "design/seed.md").read_text(encoding="utf-8")
        old = " ".join(row[0] for row in commands())
        blocks = re.findall(r"```bash\n(.*?)```", seed, re.DOTALL)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()
                 if line and not line.startswith("#")]
        self.assertGreater(len(lines), 4)
        for line in lines:
            words = line.split()
            self.assertIn(" ".join(words[:3] if words[0] == "python" else words[:2]), old)
        for heading in re.findall(r"^### (.*Config)$", seed, re.MULTILINE):
            self.assertIn(heading, old)


if __name__ == "__main__":
    unittest.main()
