# SPDX-License-Identifier: Apache-2.0
"""What classifiers reach on cohorts whose best possible AUROC is known (docs/synth.md): five data seeds that were fixed
before the first run, a tiny random BERT fine-tuned whole and a tiny random Llama with LoRA, 4,100 held-out subjects each.
With the signal: mean AUROC at least the ceiling - 0.03, and no run above the ceiling by more than two standard errors
(DeLong); without it (both review codes read alike): the mean within two standard errors of 0.5. Prints a line a run and
exits 1 where that does not hold.

  ANAMNESIS_SOURCE_DIR=. ANAMNESIS_BIN_DIR=build/release/bin python3 tests/bench/planted_signal.py [bert|llm]...

Not a test: twenty runs, on one core a minute each of BERT and three of the Llama."""

import math
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import bert_support
import run_support

SEEDS = (101, 102, 103, 104, 105)  # changing one after its figure was seen is a defect
SUBJECTS = 41000
TRAIN_FILES, TUNING_FILES = 8, 1  # of 1,000 subjects; all of held_out
TASKS = {
    "bert": ("finetune_bert", "fine-tune-bert.yaml",
             ("training.epochs=2", "training.batch_size=32", "training.learning_rate=1e-3", "model.max_length=256")),
    "llm": ("classify_llm", "llm_pretrain.yaml",
            # Chosen on seeds 7 and 8. The embedding stays as it is: trained beside the adapter at 2e-3 and more, its
            # noise keeps the model for a thousand steps from what it finds in a hundred without.
            ("training.epochs=2", "training.batch_size=16", "training.gradient_accumulation_steps=2",
             "training.learning_rate=1e-3", "training.warmup_steps=20", "model.max_length=256",
             "training.load_in_4bit=false", "training.bf16=false", "training.gradient_checkpointing=false",
             "training.eval_steps=1000", "training.save_steps=1000")),
}


def synth(folder, subjects, seed, *more):
    subprocess.run([run_support.BIN / "anamnesis", "synth", "--out", folder, "--subjects", str(subjects), "--seed",
                    str(seed), *more], check=True, capture_output=True, timeout=600)


def write_cohort(folder, seed, signal):
    synth(folder, SUBJECTS, seed, "--no-base")
    for split, files in (("train", TRAIN_FILES), ("tuning", TUNING_FILES)):
        for path in (folder / split).iterdir():
            if int(path.stem) >= files:
                path.unlink()
    lookup = folder / "medical_lookup.csv"
    if not signal:
        lookup.write_text(lookup.read_text().replace("Weight falling at review", "Weight steady at review"))
    return run_support.read_json(folder / "truth.json")["signal"]["best_auroc"]


def measure(root, kind, seed, signal, base):
    """AUROC on held_out with its standard error (DeLong), and the ceiling."""
    data, output = root / "data", root / "out"
    ceiling = write_cohort(data, seed, signal)
    task, config, settings = TASKS[kind]
    subprocess.run([str(run_support.BIN / "anamnesis"), "run", "--task", task,
                    str(run_support.SOURCE / "configs/jobs" / config), "--data-dir", str(root / "cache"),
                    "--threads-per-rank", "1",
                    *bert_support.overrides(base, data, output, *settings, "wandb.enabled=false")],
                   check=True, capture_output=True, timeout=3600)
    report = output / ("evaluation.json" if kind == "bert" else "final_model/evaluation.json")
    held_out = run_support.read_json(report)["held_out"]
    for folder in (data, output, root / "cache"):
        shutil.rmtree(folder)
    return held_out["metrics"]["auroc"]["value"], held_out["auroc_standard_error"]["value"], ceiling


def series(root, kind, signal, base):
    """Whether the five runs keep what is promised."""
    runs = []
    for seed in SEEDS:
        value, error, ceiling = measure(root, kind, seed, signal, base)
        runs.append((value, error, ceiling))
        print(f"{kind:4}  {'signal' if signal else 'none':6}  seed {seed}  AUROC {value:.4f}  se {error:.4f}  "
              f"ceiling {ceiling if signal else 0.5:.4f}", flush=True)
    mean = statistics.mean(value for value, _, _ in runs)
    if signal:
        right = mean >= runs[0][2] - 0.03 and all(value <= top + 2 * error for value, error, top in runs)
    else:
        mean_error = math.sqrt(sum(error * error for _, error, _ in runs)) / len(runs)
        right = abs(mean - 0.5) <= 2 * mean_error
    print(f"{kind:4}  {'signal' if signal else 'none':6}  mean AUROC {mean:.4f}  {'holds' if right else 'DOES NOT HOLD'}",
          flush=True)
    return right


def main():
    root = pathlib.Path(tempfile.mkdtemp(prefix="anam-signal-"))
    try:
        synth(root / "small", 600, 1)
        bases = {"bert": root / "bert", "llm": root / "small/base"}
        bert_support.write_base(bases["bert"], root / "small")
        kinds = sys.argv[1:] or list(TASKS)
        right = [series(root, kind, signal, bases[kind]) for kind in kinds for signal in (True, False)]
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
