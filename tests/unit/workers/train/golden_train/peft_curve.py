# SPDX-License-Identifier: Apache-2.0
"""The losses of HF + PEFT on given batches, every segment as a sequence of its own: IN.json OUT.json"""
import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, get_scheduler

with open(sys.argv[1]) as f:
    given = json.load(f)
torch.set_num_threads(1)
base = AutoModelForCausalLM.from_pretrained(given["base"], torch_dtype=torch.float32)
model = PeftModel.from_pretrained(base, given["adapter"], is_trainable=True)
model.train()
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=given["learning_rate"], weight_decay=given["weight_decay"])
schedule = get_scheduler("linear", optimizer, num_warmup_steps=given["warmup_steps"],
                         num_training_steps=len(given["batches"]))
losses = []
for batch in given["batches"]:
    labels = sum(len(segment) - 1 for segment in batch)
    total = 0.0
    for segment in batch:
        ids = torch.tensor([segment])
        logits = model(input_ids=ids).logits
        loss = torch.nn.functional.cross_entropy(logits[0, :-1].float(), ids[0, 1:], reduction="sum")
        (loss / labels).backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    losses.append(total / labels)
with open(sys.argv[2], "w") as f:
    json.dump(losses, f)
