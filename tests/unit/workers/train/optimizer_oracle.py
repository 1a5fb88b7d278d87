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


def train(dtype, kind, fused=False):
    split = lambda values: torch.tensor(values, dtype=dtype).split(given["sizes"])
    weight, bias = (torch.nn.Parameter(t.clone()) for t in split(given["parameters"]))
    optimizer = torch.optim.AdamW(
        [{"params": [weight], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}],
        lr=RATE, betas=(0.9, 0.999), eps=1e-8, foreach=False, fused=fused)
    schedule = get_scheduler(kind, optimizer, num_warmup_steps=WARMUP, num_training_steps=steps)
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


kinds = given["kinds"]
_, norms = train(torch.float64, "linear")
# HF's Trainer takes the fused one (optim: adamw_torch_fused).
traces = {kind: {"fp32": train(torch.float32, kind)[0], "fused": train(torch.float32, kind, fused=True)[0],
                 "fp64": train(torch.float64, kind)[0]} for kind in kinds}
with open(sys.argv[2], "w") as f:
    json.dump({"rates": {k: rates(k) for k in kinds}, "traces": traces, "norms": norms, "scales": scales()}, f)
