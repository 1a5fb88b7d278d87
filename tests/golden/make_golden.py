# SPDX-License-Identifier: Apache-2.0
"""Golden values from HF transformers + PEFT for tests/golden: tools/oracle make_golden.py OUT_DIRECTORY

Each case of golden_cases.py is a seeded, tiny random model with a PEFT adapter. For a few batches of documents and fp64,
fp32, bf16 and fp16 it writes the logits, the sum of the losses and the gradient of every trainable tensor of that sum, of the
documents as one padded batch, as HF trains (one document a batch where the rope depends on the longest):
  OUT/<case>/base, OUT/<case>/adapter     HF and PEFT directories
  OUT/<case>/<batch>.safetensors          ids, lengths, <dtype>/{logits,losses,loss,grad/<adapter key>}
  OUT/<case>/classifier                   of some cases: an adapter of a sequence classifier on the same base, with
                                          classifier.safetensors: ids, lengths, classes, <dtype>/{logits,loss,grad/...}
  OUT/mixed.safetensors                   tensors of many dtypes, written by the Python safetensors library
"""
import json
import os
import sys

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from golden_cases import CASES, SHAPE, VISION
from golden_truth import make_fp64_true

LENGTHS = [37, 5, 66, 2, 13, 91]
CLASSIFIERS = ["plain", "mistral", "phi", "phi3", "gemma", "gemma2", "gemma3", "qwen2", "qwen3"]
FP16_SCALE = 4.0  # of the loss; more overflows where a row of the embedding is zero


def randomise(model, names, plus_one=False):
    for name, parameter in model.named_parameters():
        if names(name):
            is_norm = "norm" in name and not name.endswith("bias")
            center = 0.0 if plus_one or not is_norm else 1.0
            with torch.no_grad():
                parameter.copy_(center + (0.3 if is_norm else 0.1) * torch.randn(parameter.shape))


def moved_by(lora):
    """The parameters that a training of this adapter would have moved from zero, or from the base's values."""
    parts = ["lora_B", "modules_to_save"] + (["base_layer.bias"] if lora.get("bias") == "lora_only" else [])
    return lambda name: any(part in name for part in parts)


def load(case, base, adapter, dtype):
    first = torch.float32 if dtype == torch.float64 else dtype
    model = AutoModelForCausalLM.from_pretrained(base, dtype=first, attn_implementation="eager" if case.eager else "sdpa")
    model = PeftModel.from_pretrained(model.to(dtype) if dtype == torch.float64 else model, adapter, is_trainable=True)
    if dtype == torch.float64:
        model = model.double()
    model.eval()  # no dropout
    return model


def forget_lengths(model):
    """A dynamic rope remembers the longest document that it has met."""
    for module in model.modules():
        if hasattr(module, "original_inv_freq"):
            module.max_seq_len_cached = module.original_max_seq_len
            module.inv_freq = module.original_inv_freq.clone()


def run_batch(model, documents, scale):
    """Logits of each document, and the losses of its labels; the gradients of their sum times `scale` are added up."""
    longest = max(len(ids) for ids in documents)
    padded = torch.zeros(len(documents), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(padded), torch.full_like(padded, -100)
    for i, ids in enumerate(documents):
        padded[i, : len(ids)], mask[i, : len(ids)], labels[i, : len(ids)] = ids, 1, ids
    out = model(input_ids=padded, attention_mask=mask, use_cache=False).logits
    wide = out if out.dtype == torch.float64 else out.float()
    losses = torch.nn.functional.cross_entropy(wide[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")
    (losses.sum() * scale).backward()
    return ([out[i, : len(ids)].detach() for i, ids in enumerate(documents)],
            [losses[i, : len(ids) - 1].detach() for i, ids in enumerate(documents)])


def gradients(model, scale=1.0):
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield "grad/" + name.replace(".modules_to_save.default.", ".").replace(".default.", "."), parameter.grad / scale


def run(case, model, documents, scale):
    model.zero_grad()
    if not case.alone:
        logits, losses = run_batch(model, documents, scale)
    else:
        logits, losses = [], []
        for ids in documents:
            forget_lengths(model)
            one, part = run_batch(model, [ids], scale)
            logits, losses = logits + one, losses + part
    losses = torch.cat(losses)
    # HF's sum, in the dtype of its losses.
    result = {"logits": torch.cat(logits), "losses": losses, "loss": losses.sum().double().reshape(1)}
    result |= dict(gradients(model, scale))
    return result


def use_old_spelling(base):
    """config.json as transformers 4 wrote it."""
    path = os.path.join(base, "config.json")
    with open(path) as file:
        config = json.load(file)
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = {"type": rope["rope_type"], "factor": rope["factor"]}
    config["torch_dtype"] = config.pop("dtype")
    with open(path, "w") as file:
        json.dump(config, file)


def make_base(case, base):
    shape = {key: value for key, value in SHAPE.items() if key not in case.drop}
    shape.update(dict(pad_token_id=None, bos_token_id=1, eos_token_id=2))
    shape.update(case.changes)
    config = case.config(**shape)
    if case.multimodal:
        config = transformers.Gemma3Config(text_config=config.to_dict(), vision_config=VISION, mm_tokens_per_image=4,
                                           image_token_index=130, boi_token_index=129, eoi_token_index=128)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    randomise(model, lambda name: "norm" in name or name.endswith("bias"), "Gemma" in case.config.__name__)
    model.save_pretrained(base)
    if case.old_spelling:
        use_old_spelling(base)


def make_case(out, index, name):
    torch.manual_seed(1000 + index)
    case = CASES[name]
    base, adapter = os.path.join(out, name, "base"), os.path.join(out, name, "adapter")
    make_base(case, base)
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", **case.lora))
    randomise(peft, moved_by(case.lora))
    peft.save_pretrained(adapter)
    goldens = []
    for _ in range(case.batches):
        documents = [torch.randint(0, SHAPE["vocab_size"], (length,)) for length in LENGTHS]
        goldens.append((documents, {"ids": torch.cat(documents), "lengths": torch.tensor(LENGTHS)}))
    for label, dtype in (("f64", torch.float64), ("f32", torch.float32), ("bf16", torch.bfloat16),
                         ("f16", torch.float16)):
        model = load(case, base, adapter, dtype)
        for documents, golden in goldens:
            for key, value in run(case, model, documents, FP16_SCALE if label == "f16" else 1.0).items():
                golden[label + "/" + key] = value.contiguous()
    for batch, (_, golden) in enumerate(goldens):
        save_file(golden, os.path.join(out, name, f"{batch}.safetensors"))


def load_classifier(case, base, dtype):
    first = torch.float32 if dtype == torch.float64 else dtype
    attention = "eager" if case.eager else "sdpa"
    return AutoModelForSequenceClassification.from_pretrained(base, num_labels=3, dtype=first,
                                                              attn_implementation=attention)


def make_classifier(out, name):
    case, base, adapter = CASES[name], os.path.join(out, name, "base"), os.path.join(out, name, "classifier")
    lora = {key: value for key, value in case.lora.items() if key != "modules_to_save"}
    peft = get_peft_model(load_classifier(case, base, torch.float32), LoraConfig(task_type="SEQ_CLS", **lora))
    randomise(peft, lambda parameter: "lora_B" in parameter or "modules_to_save" in parameter)
    peft.save_pretrained(adapter)
    documents = [torch.randint(0, SHAPE["vocab_size"], (length,)) for length in LENGTHS]
    classes = torch.randint(0, 3, (len(documents),))
    golden = {"ids": torch.cat(documents), "lengths": torch.tensor(LENGTHS), "classes": classes}
    for label, dtype in (("f64", torch.float64), ("f32", torch.float32)):
        model = PeftModel.from_pretrained(load_classifier(case, base, dtype), adapter, is_trainable=True).to(dtype).eval()
        logits = torch.cat([model(input_ids=ids[None], use_cache=False).logits for ids in documents])
        loss = torch.nn.functional.cross_entropy(logits, classes, reduction="sum")
        loss.backward()
        golden |= {f"{label}/logits": logits.detach(), f"{label}/loss": loss.detach().double().reshape(1)}
        golden |= {f"{label}/{key}": value.contiguous() for key, value in gradients(model)}
    save_file(golden, os.path.join(out, name, "classifier.safetensors"))


def main():
    out = sys.argv[1]
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    make_fp64_true()
    wanted = sys.argv[2:] or list(CASES)
    for index, name in enumerate(CASES):
        if name in wanted:
            make_case(out, index, name)
            if name in CLASSIFIERS:
                make_classifier(out, name)
    torch.manual_seed(1)
    mixed = {"b": torch.randn(3, 5), "a": torch.randn(7).bfloat16(), "c.half": torch.randn(2, 2).half(),
             "long": torch.arange(4), "empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5),
             "flags": torch.tensor([True, False, True]), "double": torch.randn(3).double(), "byte": torch.arange(5).byte()}
    save_file(mixed, os.path.join(out, "mixed.safetensors"), metadata={"format": "pt"})


if __name__ == "__main__":
    main()
