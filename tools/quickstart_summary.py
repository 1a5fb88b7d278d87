# SPDX-License-Identifier: Apache-2.0
"""The end of ./quickstart: holds the loss on tuning against what the synthetic cohort's entropies say is possible, and
says what to type next. Exit 1 when the loss is not well below the unigram entropy: then nothing was learnt.

Usage: quickstart_summary.py OUTPUT_DIR TRUTH.json"""

import json
import pathlib
import sys

NATS_BELOW_UNIGRAM = 0.5


def main():
    output, truth_file = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    run = json.loads((output / ".anamnesis" / "summary.json").read_text(encoding="utf-8"))
    entropy = json.loads(truth_file.read_text(encoding="utf-8"))["entropy"]
    loss = run["tuning_loss"]
    rows = [("unigram entropy of tuning under the train counts", entropy["unigram"]),
            ("bigram entropy", entropy["bigram"]),
            ("true entropy of the generator", entropy["true"]),
            ("loss on tuning, reached", loss)]
    width = max(len(name) for name, _ in rows)
    print()
    print("== summary (nats per label)")
    for name, value in rows:
        print(f"  {name:<{width}}  {value:.4f}")
    print(f"  train loss {run['first_loss']:.4f} -> {run['last_loss']:.4f}, {run['tokens_per_second']:.0f} tokens/s, "
          f"first step after {run['first_step_seconds']:.1f} s, {len(run['ranks'])} ranks")
    print(f"  adapter    {output}/final_model  (sha256 {run['adapter_sha256'][:16]}…)")
    if loss > entropy["unigram"] - NATS_BELOW_UNIGRAM:
        print(f"quickstart: the loss is not {NATS_BELOW_UNIGRAM} nats below the unigram entropy: nothing was learnt",
              file=sys.stderr)
        return 1
    print()
    print("What to type next:")
    print("  build/release/bin/anamnesis up --detach   a coordinator of your own; then submit, list, metrics JOB -f, down")
    print("  build/release/bin/anamnesis render configs/jobs/first_light.yaml --split tuning --subject all | head -n 3")
    print("  build/release/bin/anamnesis config explain lora.r")
    print("  ./check                   run every test; its Python environment opens the adapter in PEFT")
    print("  ./quickstart --remove     delete what this made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
