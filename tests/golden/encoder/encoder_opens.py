# SPDX-License-Identifier: Apache-2.0
"""tools/oracle encoder_opens.py DIRECTORY...: opens each saved classifier in transformers, compares the logits of the
documents in DIRECTORY/logits.safetensors, and saves it again: the weights must be the same bytes and the configuration
mean the same. A directory with adapter_config.json is opened by PEFT on the base in DIRECTORY/base.txt."""
import hashlib
import os
import sys
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def open_model(directory):
    if not os.path.exists(os.path.join(directory, "adapter_config.json")):
        return AutoModelForSequenceClassification.from_pretrained(directory)
    from peft import PeftModel
    with open(os.path.join(directory, "base.txt")) as file:
        base, labels = file.read().split()
    return PeftModel.from_pretrained(
        AutoModelForSequenceClassification.from_pretrained(base, num_labels=int(labels)), directory)


def main():
    torch.set_num_threads(1)
    for directory in sys.argv[1:]:
        golden = load_file(os.path.join(directory, "logits.safetensors"))
        model = open_model(directory).eval()
        documents = golden["ids"].split(golden["lengths"].tolist())
        types = golden["types"].split(golden["lengths"].tolist())
        worst = 0.0
        for i, (ids, kinds) in enumerate(zip(documents, types)):
            more = {} if model.config.model_type in ("distilbert", "modernbert") else {"token_type_ids": kinds[None]}
            with torch.no_grad():
                logits = model(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], **more).logits[0]
            worst = max(worst, (logits - golden["logits"][i]).abs().max().item())
        if hasattr(model, "peft_config"):
            print(f"{model.config.model_type}: largest difference {worst:.3g} adapter")
            continue
        with tempfile.TemporaryDirectory() as again:
            model.save_pretrained(again)
            same = digest(os.path.join(again, "model.safetensors")) == digest(
                os.path.join(directory, "model.safetensors"))
            ours, theirs = AutoConfig.from_pretrained(directory).to_dict(), AutoConfig.from_pretrained(again).to_dict()
        for key in ("_name_or_path", "transformers_version"):
            ours.pop(key, None), theirs.pop(key, None)
        print(f"{model.config.model_type}: largest difference {worst:.3g} weights {'equal' if same else 'DIFFER'} "
              f"config {'equal' if ours == theirs else 'DIFFERS'} {model.config.problem_type} {model.config.id2label}")


main()
