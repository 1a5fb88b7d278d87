# SPDX-License-Identifier: Apache-2.0
"""Schedules, gradient norms and AdamW as torch and transformers compute them: IN.json OUT.json"""
import json
import sys

import torch
from transformers import get_scheduler

with open(sys.argv[1]) as f:
    given = json.load(f)
steps = len(given["gradients"])
RATE, WARMUP = 3e-3, 7


def rates(kind):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    schedule = get_scheduler(kind, optimizer, num_warmup_steps=WARMUP, num_training_steps=steps)
    out = []
    for _ in range(steps):
        out.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return out


def train(dtype):
    split = lambda values: torch.tensor(values, dtype=dtype).split(given["sizes"])
    weight, bias = (torch.nn.Parameter(t.clone()) for t in split(given["parameters"]))
    optimizer = torch.optim.AdamW(
        [{"params": [weight], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}],
        lr=RATE, betas=(0.9, 0.999), eps=1e-8, foreach=False)
    schedule = get_scheduler("linear", optimizer, num_warmup_steps=WARMUP, num_training_steps=steps)
    trace, norms = [], []
    for gradient in given["gradients"]:
        weight.grad, bias.grad = (t.clone() for t in split(gradient))
        norms.append(torch.nn.utils.clip_grad_norm_([weight, bias], 1.0).item())
        optimizer.step()
        schedule.step()
        trace.append(torch.cat([weight, bias]).tolist())
    return trace, norms


def scales():
    """GradScaler's rule, as torch.amp carries it out, on steps of which a few are not finite."""
    scale, tracker, out = torch.full((), 65536.0), torch.zeros((), dtype=torch.int32), []
    for step in range(6000):
        torch._amp_update_scale_(scale, tracker, torch.full((), float(step in (0, 1, 7, 3500))), 2.0, 0.5, 2000)
        out.append(scale.item())
    return out


fp32, _ = train(torch.float32)
fp64, norms = train(torch.float64)
kinds = ["linear", "cosine", "constant", "constant_with_warmup"]
with open(sys.argv[2], "w") as f:
    json.dump({"rates": {k: rates(k) for k in kinds}, "fp32": fp32, "fp64": fp64, "norms": norms, "scales": scales()}, f)
