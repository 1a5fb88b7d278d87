# SPDX-License-Identifier: Apache-2.0
"""Golden values of QLoRA on every decoder family for tests/golden: tools/oracle make_qlora_golden.py OUT_DIRECTORY

A case of golden_cases.py for each family, its linear layers as wide as bitsandbytes decodes rightly, the base stored in
bf16. The same files as make_golden.py's, OUT/<case>/{base,adapter,<batch>.safetensors}: f32 and bf16 by HF + PEFT on
bitsandbytes' NF4 layers with double quantisation, f64 by HF + PEFT on the weights that bitsandbytes decodes.
"""
import os
import sys

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # else bitsandbytes runs a C++ compiler for two small functions

import bitsandbytes as bnb  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from bitsandbytes import functional  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import AutoModelForCausalLM, BitsAndBytesConfig  # noqa: E402

import make_golden  # noqa: E402
from golden_cases import CASES, SHAPE  # noqa: E402
from golden_truth import make_fp64_true  # noqa: E402

FAMILIES = ["plain", "mistral", "phi", "phi3", "gemma", "gemma2", "gemma3", "qwen2", "qwen3"]
BATCHES = 3
# bitsandbytes 0.50 decodes widths other than multiples of 64 wrongly on CPUs with AVX-512 (a row's scales are looked up
# as if every row began a block). A head is still wider than hidden / heads where the family allows it.
WIDE = dict(hidden_size=64, intermediate_size=192, num_attention_heads=4, head_dim=32)


def attention(case):
    return "eager" if case.eager else "sdpa"


def make_base(case, base):
    case.changes = {**case.changes, **{key: value for key, value in WIDE.items() if key not in case.drop}}
    make_golden.make_base(case, base)
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).bfloat16().save_pretrained(base)


def load_4bit(case, base, dtype):
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                bnb_4bit_compute_dtype=dtype)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, quantization_config=config, device_map={"": "cpu"},
                                                 attn_implementation=attention(case))
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False  # else inference repacks the weight and multiplies in bf16
    return model


def load_decoded(case, base):
    """The base in fp64 with what bitsandbytes decodes, in fp32, in place of the quantised weights."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation=attention(case)).double()
    count = 0
    for name, module in load_4bit(case, base, torch.float32).named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            decoded = functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            assert decoded.dtype == torch.float32
            model.get_submodule(name).weight = torch.nn.Parameter(decoded.double())
            count += 1
    linears = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    assert count == len(linears) - 1, linears  # all but the head
    return model


def make_case(out, index, name):
    torch.manual_seed(5000 + index)
    case = CASES[name]
    base, adapter = os.path.join(out, name, "base"), os.path.join(out, name, "adapter")
    make_base(case, base)
    peft = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
                          LoraConfig(task_type="CAUSAL_LM", **case.lora))
    make_golden.randomise(peft, lambda parameter: "lora_B" in parameter or "modules_to_save" in parameter)
    peft.save_pretrained(adapter)
    goldens = []
    for _ in range(BATCHES):
        documents = [torch.randint(0, SHAPE["vocab_size"], (length,)) for length in make_golden.LENGTHS]
        goldens.append((documents, {"ids": torch.cat(documents), "lengths": torch.tensor(make_golden.LENGTHS)}))
    for label, dtype in (("f64", torch.float64), ("f32", torch.float32), ("bf16", torch.bfloat16)):
        model = load_decoded(case, base) if label == "f64" else load_4bit(case, base, dtype)
        model = PeftModel.from_pretrained(model, adapter, is_trainable=True).eval()
        if label == "f64":
            model = model.double()
        for documents, golden in goldens:
            for key, value in make_golden.run(case, model, documents, 1.0).items():
                golden[label + "/" + key] = value.contiguous()
    for batch, (_, golden) in enumerate(goldens):
        save_file(golden, os.path.join(out, name, f"{batch}.safetensors"))


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    make_fp64_true()
    for index, name in enumerate(FAMILIES):
        make_case(sys.argv[1], index, name)


main()
