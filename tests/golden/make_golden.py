# SPDX-License-Identifier: Apache-2.0
"""Golden values from HF transformers + PEFT for tests/golden: tools/oracle make_golden.py OUT_DIRECTORY

Each case is a seeded, tiny random Llama with a PEFT adapter. For a few batches of documents and fp64, fp32 and bf16 it
writes the logits, the sum of the losses and the gradient of every trainable tensor of that sum, of the documents as one
padded batch, as HF trains:
  OUT/<case>/base, OUT/<case>/adapter     HF and PEFT directories
  OUT/<case>/<batch>.safetensors          ids, lengths, <dtype>/{logits,loss,grad/<adapter key>}
  OUT/mixed.safetensors                   tensors of many dtypes, written by the Python safetensors library
"""
import json
import math
import os
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BATCHES = 6
LENGTHS = [37, 5, 66, 2, 13, 91]
SHAPE = dict(vocab_size=131, hidden_size=48, intermediate_size=76, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, head_dim=10, max_position_embeddings=256, initializer_range=0.1)
CASES = {
    "plain": (dict(), dict(r=4, lora_alpha=8, target_modules=SEVEN)),
    "linear_bias_rslora": (
        dict(attention_bias=True, mlp_bias=True, rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=5e4)),
        dict(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"],
             rank_pattern={"v_proj": 3, r"layers\.1\.mlp\.down_proj": 5}, alpha_pattern={"q_proj": 12})),
    "llama3_saved": (
        dict(num_key_value_heads=1, rope_parameters=dict(
            rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, rope_theta=1e4,
            original_max_position_embeddings=64)),
        dict(r=3, lora_alpha=8, target_modules=SEVEN, modules_to_save=["embed_tokens", "lm_head"])),
    "regex_old_rope": (
        dict(num_key_value_heads=4, rope_parameters=dict(rope_type="linear", factor=3.0, rope_theta=1e4)),
        dict(r=2, lora_alpha=3, target_modules=r".*\.0\.self_attn\.(q|v)_proj", modules_to_save=["lm_head"])),
    "tied": (dict(tie_word_embeddings=True), dict(r=4, lora_alpha=8, target_modules=SEVEN)),
    "tied_saved": (dict(tie_word_embeddings=True),
                   dict(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"])),
}


def true_frequencies(config):
    """Inverse frequencies in fp64, from the formulas."""
    rope, dim = config.rope_parameters, config.head_dim
    out = []
    for i in range(0, dim, 2):
        f = rope["rope_theta"] ** (-i / dim)
        if rope["rope_type"] == "linear":
            f /= rope["factor"]
        if rope["rope_type"] == "llama3":
            old = rope["original_max_position_embeddings"]
            wave = 2 * math.pi / f
            if wave > old / rope["low_freq_factor"]:
                f /= rope["factor"]
            elif wave >= old / rope["high_freq_factor"]:
                s = (old / wave - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
                f = (1 - s) * f / rope["factor"] + s * f
        out.append(f)
    return torch.tensor(out, dtype=torch.float64)


def make_fp64_true():
    """HF computes norms and angles in fp32 even for an fp64 model: for fp64 both are replaced, for the rest kept."""
    norm, rotary = modeling_llama.LlamaRMSNorm.forward, modeling_llama.LlamaRotaryEmbedding.forward

    def norm64(self, x):
        if x.dtype != torch.float64:
            return norm(self, x)
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def rotary64(self, x, position_ids):
        if x.dtype != torch.float64:
            return rotary(self, x, position_ids)
        angles = position_ids[..., None].double() * true_frequencies(self.config)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()

    modeling_llama.LlamaRMSNorm.forward = norm64
    modeling_llama.LlamaRotaryEmbedding.forward = rotary64


def randomise(model, names):
    for name, parameter in model.named_parameters():
        if names(name):
            spread = 0.3 if "norm" in name else 0.1
            center = 1.0 if "norm" in name else 0.0
            with torch.no_grad():
                parameter.copy_(center + spread * torch.randn(parameter.shape))


def load(base, adapter, dtype):
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="sdpa").to(dtype)
    model = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    if dtype == torch.float64:
        model = model.double()
    model.eval()  # no dropout
    return model


def run(model, dtype, documents):
    model.zero_grad()
    longest = max(len(ids) for ids in documents)
    padded = torch.zeros(len(documents), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(padded), torch.full_like(padded, -100)
    for i, ids in enumerate(documents):
        padded[i, : len(ids)], mask[i, : len(ids)], labels[i, : len(ids)] = ids, 1, ids
    out = model(input_ids=padded, attention_mask=mask).logits
    logits = [out[i, : len(ids)].detach() for i, ids in enumerate(documents)]
    wide = out if dtype == torch.float64 else out.float()
    loss = torch.nn.functional.cross_entropy(wide[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    loss.backward()
    result = {"logits": torch.cat(logits), "loss": loss.detach().double().reshape(1)}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = name.replace(".modules_to_save.default.", ".").replace(".default.", ".")
            result["grad/" + key] = parameter.grad.clone()
    return result


def make_case(out, index, name):
    torch.manual_seed(1000 + index)
    config_changes, lora = CASES[name]
    shape = dict(SHAPE)
    shape.update(config_changes)
    model = LlamaForCausalLM(LlamaConfig(**shape))
    randomise(model, lambda parameter: "norm" in parameter or parameter.endswith("bias"))
    base, adapter = os.path.join(out, name, "base"), os.path.join(out, name, "adapter")
    model.save_pretrained(base)
    if name == "regex_old_rope":  # as transformers 4 wrote it
        path = os.path.join(base, "config.json")
        with open(path) as file:
            config = json.load(file)
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = {"type": rope["rope_type"], "factor": rope["factor"]}
        config["torch_dtype"] = config.pop("dtype")
        with open(path, "w") as file:
            json.dump(config, file)
    peft = get_peft_model(LlamaForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", **lora))
    randomise(peft, lambda parameter: "lora_B" in parameter or "modules_to_save" in parameter)
    peft.save_pretrained(adapter)
    goldens = []
    for _ in range(BATCHES):
        documents = [torch.randint(0, shape["vocab_size"], (length,)) for length in LENGTHS]
        goldens.append((documents, {"ids": torch.cat(documents), "lengths": torch.tensor(LENGTHS)}))
    for label, dtype in (("f64", torch.float64), ("f32", torch.float32), ("bf16", torch.bfloat16)):
        model = load(base, adapter, dtype)
        for documents, golden in goldens:
            for key, value in run(model, dtype, documents).items():
                golden[label + "/" + key] = value.contiguous()
    for batch, (_, golden) in enumerate(goldens):
        save_file(golden, os.path.join(out, name, f"{batch}.safetensors"))


def main():
    out = sys.argv[1]
    torch.set_num_threads(1)
    make_fp64_true()
    for index, name in enumerate(CASES):
        make_case(out, index, name)
    torch.manual_seed(1)
    mixed = {"b": torch.randn(3, 5), "a": torch.randn(7).bfloat16(), "c.half": torch.randn(2, 2).half(),
             "long": torch.arange(4), "empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5),
             "flags": torch.tensor([True, False, True]), "double": torch.randn(3).double(), "byte": torch.arange(5).byte()}
    save_file(mixed, os.path.join(out, "mixed.safetensors"), metadata={"format": "pt"})


main()
