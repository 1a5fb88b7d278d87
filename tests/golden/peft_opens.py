# SPDX-License-Identifier: Apache-2.0
"""Stock PEFT opens adapter directories: tools/oracle peft_opens.py BASE ADAPTER [BASE ADAPTER ...]

ADAPTER/logits.safetensors holds ids, lengths and our logits; prints the largest absolute difference of each.
"""
import json
import sys
import warnings

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def attention(base):
    """sdpa has no soft cap."""
    with open(base + "/config.json") as file:
        return "eager" if json.load(file)["model_type"] == "gemma2" else "sdpa"


def compare(base, adapter):
    tensors = load_file(adapter + "/logits.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PEFT only warns about keys that it misses or does not know
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*ensure_weight_tying.*")
        plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation=attention(base))
        model = PeftModel.from_pretrained(plain, adapter)
    model.eval()
    start, worst = 0, 0.0
    for length in tensors["lengths"].tolist():
        ids = tensors["ids"][start:start + length]
        with torch.no_grad():
            logits = model(input_ids=ids[None], use_cache=False).logits[0]
        worst = max(worst, (logits - tensors["logits"][start:start + length]).abs().max().item())
        start += length
    print("largest difference", worst, flush=True)


def main():
    torch.set_num_threads(1)
    for i in range(1, len(sys.argv), 2):
        compare(sys.argv[i], sys.argv[i + 1])


main()
