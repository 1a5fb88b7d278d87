# SPDX-License-Identifier: Apache-2.0
"""Bases and adapters for tests/golden/merge: tools/oracle make_merge.py OUT CASE... Each CASE is one of golden_cases.py
with the base's dtype behind a slash (phi3/bf16); nf4 is a Llama that bitsandbytes has quantised.
  OUT/<case>/<dtype>/{base,adapter}     HF and PEFT directories
  OUT/<case>/<dtype>/peft.safetensors   the state of PEFT's merge_and_unload"""
import os
import sys

os.environ["TORCHDYNAMO_DISABLE"] = "1"
sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

import torch  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig  # noqa: E402

from golden_cases import CASES, SEVEN  # noqa: E402
from make_golden import make_base, moved_by, randomise  # noqa: E402

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "nf4": torch.bfloat16}
# Widths that bitsandbytes decodes rightly on every CPU.
WIDE = dict(vocab_size=131, hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=16, initializer_range=0.1, pad_token_id=None, bos_token_id=1,
            eos_token_id=2)


def merged_state(model):
    """Without the names of tensors that are tied to another, as they are saved."""
    state, seen = {}, set()
    for name, value in model.state_dict().items():
        if value.data_ptr() in seen and value.numel() > 0:
            continue
        seen.add(value.data_ptr())
        state[name] = value.contiguous().clone()
    return state


def decoded_state(peft):
    """bitsandbytes' decoded weights with PEFT's update, in the dtype that they were quantised from."""
    from bitsandbytes import functional
    state = {}
    for name, module in peft.base_model.model.named_modules():
        if hasattr(module, "lora_A"):
            weight = module.base_layer.weight
            merged = functional.dequantize_4bit(weight.data, weight.quant_state)
            merged += module.get_delta_weight("default")
            state[name + ".weight"] = merged.contiguous()
    return state


def make(out, name, dtype):
    torch.manual_seed(77)
    folder = os.path.join(out, name, dtype)
    base, adapter = os.path.join(folder, "base"), os.path.join(folder, "adapter")
    if dtype == "nf4":
        transformers.LlamaForCausalLM(transformers.LlamaConfig(**WIDE)).bfloat16().save_pretrained(base + "-dense")
        settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                      bnb_4bit_compute_dtype=torch.bfloat16)
        load = lambda: AutoModelForCausalLM.from_pretrained(  # noqa: E731
            base + "-dense", quantization_config=settings, dtype=torch.bfloat16, device_map="cpu")
        load().save_pretrained(base)
        lora = dict(r=4, lora_alpha=8, target_modules=SEVEN)
    else:
        make_base(CASES[name], base)
        AutoModelForCausalLM.from_pretrained(base, dtype=DTYPES[dtype]).save_pretrained(base)
        load = lambda: AutoModelForCausalLM.from_pretrained(base, dtype=DTYPES[dtype])  # noqa: E731
        lora = CASES[name].lora
    GenerationConfig(max_new_tokens=7).save_pretrained(base)
    peft = get_peft_model(load(), LoraConfig(task_type="CAUSAL_LM", **lora))
    randomise(peft, moved_by(lora))
    peft.peft_config["default"].base_model_name_or_path = base
    peft.save_pretrained(adapter)
    peft = PeftModel.from_pretrained(load(), adapter)
    state = decoded_state(peft) if dtype == "nf4" else merged_state(peft.merge_and_unload())
    save_file(state, os.path.join(folder, "peft.safetensors"))


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for case in sys.argv[2:]:
        make(sys.argv[1], *case.split("/"))


if __name__ == "__main__":
    main()
