# SPDX-License-Identifier: Apache-2.0
"""What HF's generate(do_sample=False) writes: tools/oracle make_generate.py OUT_DIRECTORY

For the tiny random models of golden_cases.py in fp32, alone and with a PEFT adapter:
  OUT/<case>/base, OUT/<case>/adapter   HF and PEFT directories
  OUT/generate.json                     rows of case, adapter, prompt, ids, margin, eos, penalty
Prompts are drawn until, along the whole continuation, the two largest scores are further apart than fp32 rounds (MARGIN):
a near tie says nothing about either program. `margin` is the smallest distance of the row.
"""
import dataclasses
import json
import os
import pathlib
import sys

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from golden_cases import CASES, SHAPE  # noqa: E402
from make_golden import forget_lengths, make_base, randomise  # noqa: E402

NEW_TOKENS = 128
MARGIN = 5e-5
LENGTHS = [6, 36]  # below and beyond windows (16) and short ropes (32)
LEFT_OUT = ["regex_old_rope", "tied"]  # nothing in them that others lack
ADAPTED = ["plain", "tied_saved", "phi", "phi3", "gemma3", "qwen2"]
STOPPED = ["plain", "gemma2"]
# A random model with tied and scaled embeddings repeats one token for ever: these get a head of their own.
UNTIED = ["gemma", "gemma2", "gemma3"]


def written(model, prompt, **more):
    forget_lengths(model)
    done = model.generate(input_ids=prompt[None], attention_mask=torch.ones_like(prompt)[None], do_sample=False,
                          max_new_tokens=NEW_TOKENS, output_scores=True, return_dict_in_generate=True,
                          pad_token_id=0, **more)
    top = torch.stack([score[0].topk(2).values for score in done.scores])
    return done.sequences[0, len(prompt):].tolist(), (top[:, 0] - top[:, 1]).min().item()


def rows_of(model, length, **more):
    """The first prompt without a near tie."""
    for _ in range(20):
        prompt = torch.randint(3, 120, (length,))
        ids, margin = written(model, prompt, **more)
        if margin > MARGIN:
            return prompt, dict(prompt=prompt.tolist(), ids=ids, margin=margin)
    raise SystemExit("no prompt without a near tie")


def load(case, base):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32,
                                                 attn_implementation="eager" if case.eager else "sdpa").eval()
    model.generation_config.eos_token_id = None
    return model


def stops(case, base, prompt, ids, name):
    """Rows that a list of EOS ids ends, and one with a penalty; each with its generation_config.json."""
    last = ids[25]
    for label, changes in (("eos", dict(eos_token_id=[SHAPE["vocab_size"] - 1, last])),
                           ("penalty", dict(eos_token_id=[], repetition_penalty=1.3))):
        model = load(case, base)
        for key, value in changes.items():
            setattr(model.generation_config, key, value or None)
        folder = os.path.join(os.path.dirname(base), label)
        os.makedirs(folder)
        with open(os.path.join(folder, "generation_config.json"), "w") as file:
            json.dump(changes, file)
        more, margin = written(model, prompt)
        if margin < MARGIN:
            raise SystemExit(f"{name}: {label}: a near tie")
        yield dict(case=name, folder=label, prompt=prompt.tolist(), ids=more, margin=margin)


def make_case(out, index, name):
    torch.manual_seed(2000 + index)
    case = CASES[name]
    if name in UNTIED:
        case = dataclasses.replace(case, changes=case.changes | dict(tie_word_embeddings=False))
    base, adapter = os.path.join(out, name, "base"), os.path.join(out, name, "adapter")
    make_base(case, base)
    model = load(case, base)
    for length in LENGTHS:
        prompt, row = rows_of(model, length)
        yield dict(case=name, **row)
    if name in STOPPED:
        yield from stops(case, base, prompt, row["ids"], name)
    if name not in ADAPTED:
        return
    peft = get_peft_model(load(case, base), LoraConfig(task_type="CAUSAL_LM", **case.lora))
    randomise(peft, lambda parameter: "lora_B" in parameter or "modules_to_save" in parameter)
    peft.save_pretrained(adapter)
    yield dict(case=name, adapter=True, **rows_of(PeftModel.from_pretrained(load(case, base), adapter).eval(), 20)[1])


def main():
    out = sys.argv[1]
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    wanted = sys.argv[2:] or list(CASES)
    rows = [row for index, name in enumerate(CASES)
            if name in wanted and name not in LEFT_OUT for row in make_case(out, index, name)]
    with open(os.path.join(out, "generate.json"), "w") as file:
        json.dump(rows, file)


main()
