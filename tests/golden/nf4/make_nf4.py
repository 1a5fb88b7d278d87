# SPDX-License-Identifier: Apache-2.0
"""Golden values of bitsandbytes' CPU library for tests/golden/nf4: tools/oracle make_nf4.py OUT

  OUT/codec.safetensors    <case>/{source,codes,absmax,nested_absmax,offset,f32,bf16}, and dynamic_map
  OUT/sums.safetensors     <size>/{values,sum}: Torch's sums of fp32 numbers on one thread
  OUT/linear/              model.safetensors: state_dict of Linear4bit modules as bitsandbytes packs it;
                           decoded.safetensors: what it decodes
  OUT/base, OUT/adapter    a tiny random Llama in bf16 and a PEFT adapter
  OUT/prequantised         the same base, saved by transformers in 4 bits
  OUT/<batch>.safetensors  ids, lengths, <dtype>/{logits,loss,grad/<adapter key>}: f32 and bf16 by HF + PEFT on
                           bitsandbytes' layers, f64 by HF + PEFT on the weights that bitsandbytes decodes
"""
import os
import sys

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # else bitsandbytes runs a C++ compiler for two small functions

import bitsandbytes as bnb  # noqa: E402
import torch  # noqa: E402
from bitsandbytes import functional  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM  # noqa: E402
from transformers.models.llama import modeling_llama  # noqa: E402

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BATCHES = 6
LENGTHS = [37, 5, 66, 2, 13, 91]
# Widths are multiples of 64: bitsandbytes 0.50 decodes other widths wrongly on CPUs with AVX-512 (a row's scales are
# looked up as if every row began a block).
SHAPE = dict(vocab_size=131, hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, head_dim=16, max_position_embeddings=256, initializer_range=0.1)
SUMS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 100, 255, 256, 257, 511, 512, 513, 1000, 2047, 4096,
        16400, 32767, 32768, 40001, 100000, 300000]


def codec_sources():
    wide = torch.randn(96, 128) * torch.pow(10.0, torch.randint(-8, 8, (96, 1)).float())
    sparse = torch.randn(40, 64)
    sparse[3:17] = 0
    table = functional.get_4bit_type("nf4", device="cpu")
    middles = ((table[1:] + table[:-1]) / 2).repeat(64)[: 15 * 64]
    middles[::64] = 1  # every block's scale is one: the other values lie on the thresholds
    extremes = torch.tensor([1e38, -9e37, 1e-38, 1e-45, -1e-45, 0.0, 1.0, -0.0]).repeat(16)
    return {
        "f32": torch.randn(64, 64), "bf16": torch.randn(96, 128).bfloat16(), "f16": torch.randn(48, 64).half(),
        "odd": torch.randn(37, 51), "odd_f16": torch.randn(5, 63).half(), "one": torch.randn(1, 1),
        "two": torch.randn(1, 2), "short": torch.randn(3, 50), "large": torch.randn(1024, 2112).bfloat16(),
        "zeros": torch.zeros(4, 64), "zeros_short": torch.zeros(3, 50), "sparse": sparse, "wide": wide,
        "tiny": torch.randn(20, 64) * 1e-40, "tiny_short": torch.randn(3, 30) * 1e-40,
        "middles": middles.reshape(1, -1), "same": torch.full((300, 64), 0.3), "extremes": extremes.reshape(1, -1),
    }


def make_codec(out):
    golden = {"dynamic_map": functional.create_dynamic_map()}
    for name, source in codec_sources().items():
        codes, state = functional.quantize_4bit(source, blocksize=64, compress_statistics=True, quant_type="nf4")
        golden[name + "/source"] = source
        golden[name + "/codes"] = codes
        golden[name + "/absmax"] = state.absmax
        golden[name + "/nested_absmax"] = state.state2.absmax
        golden[name + "/offset"] = state.offset.reshape(1)
        state.shape = torch.Size((1, source.numel()))
        for label, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
            state.dtype = dtype
            decoded = functional.dequantize_4bit(codes, state)
            golden[name + "/" + label] = decoded.reshape(source.shape)
    save_file({key: value.contiguous() for key, value in golden.items()}, os.path.join(out, "codec.safetensors"))
    sums = {}
    for size in SUMS:
        values = torch.rand(size) * torch.rand(1)
        sums[f"{size}/values"], sums[f"{size}/sum"] = values, values.sum().reshape(1)
    save_file(sums, os.path.join(out, "sums.safetensors"))


def make_linear(out):
    packed, decoded = {}, {}
    for name, rows, columns, dtype, nested in (("a", 128, 64, torch.bfloat16, True), ("b", 33, 64, torch.float32, True),
                                               ("c", 64, 192, torch.float16, False)):
        module = bnb.nn.Linear4bit(columns, rows, bias=False, compress_statistics=nested, quant_type="nf4")
        weight = (torch.randn(rows, columns) * 0.1).to(dtype)
        module.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4", compress_statistics=nested,
                                          module=module).to("cpu")
        for key, value in module.state_dict().items():
            packed[name + "." + key] = value.contiguous()
        state = module.weight.quant_state
        state.dtype = torch.float32
        decoded[name] = functional.dequantize_4bit(module.weight.data, state).contiguous()
    folder = os.path.join(out, "linear")
    os.makedirs(folder)
    save_file(packed, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    save_file(decoded, os.path.join(folder, "decoded.safetensors"))


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
        base, dim = self.config.rope_parameters["rope_theta"], self.config.head_dim
        frequencies = base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        angles = position_ids[..., None].double() * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()

    modeling_llama.LlamaRMSNorm.forward = norm64
    modeling_llama.LlamaRotaryEmbedding.forward = rotary64


def randomise(model, wanted):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if wanted in name:
                parameter.copy_((1 if wanted == "norm" else 0) + 0.1 * torch.randn(parameter.shape))


def load_4bit(base, dtype):
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                bnb_4bit_compute_dtype=dtype)
    model = LlamaForCausalLM.from_pretrained(base, dtype=dtype, quantization_config=config, device_map={"": "cpu"},
                                             attn_implementation="sdpa")
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False  # else inference repacks the weight and multiplies in bf16
    return model


def load_decoded(base):
    """The base in fp64 with what bitsandbytes decodes, in fp32, in place of the quantised weights."""
    quantised = load_4bit(base, torch.float32)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="sdpa").double()
    count = 0
    for name, module in quantised.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            decoded = functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            assert decoded.dtype == torch.float32
            model.get_submodule(name).weight = torch.nn.Parameter(decoded.double())
            count += 1
    assert count == len(SEVEN) * SHAPE["num_hidden_layers"], count
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
            result["grad/" + name.replace(".default.", ".")] = parameter.grad.clone()
    return result


def make_model(out):
    base, adapter = os.path.join(out, "base"), os.path.join(out, "adapter")
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    randomise(model, "norm")
    model.bfloat16().save_pretrained(base)
    lora = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=SEVEN)
    peft = get_peft_model(LlamaForCausalLM.from_pretrained(base, dtype=torch.float32), lora)
    randomise(peft, "lora_B")
    peft.save_pretrained(adapter)
    load_4bit(base, torch.bfloat16).save_pretrained(os.path.join(out, "prequantised"))
    goldens = []
    for _ in range(BATCHES):
        documents = [torch.randint(0, SHAPE["vocab_size"], (length,)) for length in LENGTHS]
        goldens.append((documents, {"ids": torch.cat(documents), "lengths": torch.tensor(LENGTHS)}))
    for label, dtype in (("f64", torch.float64), ("f32", torch.float32), ("bf16", torch.bfloat16)):
        model = load_decoded(base) if dtype == torch.float64 else load_4bit(base, dtype)
        model = PeftModel.from_pretrained(model, adapter, is_trainable=True)
        if dtype == torch.float64:
            model = model.double()
        model.eval()
        for documents, golden in goldens:
            for key, value in run(model, dtype, documents).items():
                golden[label + "/" + key] = value.contiguous()
    for batch, (_, golden) in enumerate(goldens):
        save_file(golden, os.path.join(out, f"{batch}.safetensors"))


def main():
    out = sys.argv[1]
    torch.set_num_threads(1)
    torch.manual_seed(17)
    make_fp64_true()
    make_codec(out)
    make_linear(out)
    make_model(out)


main()
