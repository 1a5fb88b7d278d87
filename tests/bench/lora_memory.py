# SPDX-License-Identifier: Apache-2.0
"""Peak memory of a LoRA job on a Llama of 124 M parameters, ours beside HF + PEFT's: the same base, rows of 512 ids, two
rows a batch, two batches a step, fp32, three steps of AdamW. Prints both peaks (resident, MiB) and their ratio; exits 1
when ours is above.

  ANAMNESIS_SOURCE_DIR=. ANAMNESIS_BIN_DIR=build/release/bin python3 tests/bench/lora_memory.py"""

import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import bert_support
import run_support

ORACLE = run_support.SOURCE / "tools/oracle"
SETTINGS = ("model.max_length=512", "training.epochs=1", "training.batch_size=2",
            "training.gradient_accumulation_steps=2", "training.load_in_4bit=false", "training.bf16=false",
            "training.gradient_checkpointing=false", "training.warmup_steps=0", "training.eval_steps=100",
            "training.save_steps=100", "wandb.enabled=false")
MAKE_BASE = """
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(1)
config = LlamaConfig(vocab_size=25000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
                     num_attention_heads=12, num_key_value_heads=12, max_position_embeddings=2048)
model = LlamaForCausalLM(config)
print(sum(p.numel() for p in model.parameters()))
model.save_pretrained(sys.argv[1])
"""
TRAIN = """
import resource, sys, torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
torch.set_num_threads(1)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=16, lora_dropout=0.05,
                                         use_rslora=True, target_modules=targets)).train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4)
for _ in range(int(sys.argv[2])):
    for _ in range(2):
        ids = torch.randint(3, 800, (2, 512))
        (model(input_ids=ids, labels=ids, use_cache=False).loss / 2).backward()
    optimizer.step()
    optimizer.zero_grad()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def make_base(root):
    done = subprocess.run([ORACLE, "-c", MAKE_BASE, root / "base"], check=True, capture_output=True, text=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(root / "data/base" / name, root / "base" / name)
    return int(done.stdout.split()[-1])


def run_ours(root):
    """Prints the peak of the largest of the programs of a run, its rank, and the steps."""
    subprocess.run([str(run_support.BIN / "anamnesis"), "run", "--task", "pretrain_llm",
                    str(run_support.SOURCE / "configs/jobs/llm_pretrain.yaml"), "--data-dir", str(root / "cache"),
                    "--threads-per-rank", "1",
                    *bert_support.overrides(root / "base", root / "data", root / "out", *SETTINGS)],
                   check=True, capture_output=True, timeout=1800)
    steps = run_support.read_json(root / "out/final_model/trainer_state.json")["global_step"]
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, steps)


def numbers(command):
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800)
    return [int(word) for word in done.stdout.split()]


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="anam-memory-"))
    try:
        subprocess.run([run_support.BIN / "anamnesis", "synth", "--out", root / "data", "--subjects", "40"], check=True,
                       capture_output=True, timeout=120)
        parameters = make_base(root)
        # In a process of its own, so that its children are the run's alone.
        peak, steps = numbers([sys.executable, __file__, "--ours", root])
        (theirs,) = numbers([ORACLE, "-c", TRAIN, root / "base", str(steps)])
        print(f"{parameters} parameters, {steps} steps; peak MiB: ours {peak / 1024:.0f}, HF + PEFT "
              f"{theirs / 1024:.0f}, ratio {peak / theirs:.2f}")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0 if peak <= theirs else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ours"]:
        run_ours(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(main())
