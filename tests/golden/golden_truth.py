# SPDX-License-Identifier: Apache-2.0
"""fp64 that is fp64 throughout: HF computes norms, rotary angles, eager softmax and Gemma's embedding scale in fp32 even
for an fp64 model. For fp64 these are replaced by the formulas; for other dtypes HF's own code runs."""
import importlib
import math

import torch

FAMILIES = ["llama", "mistral", "phi", "phi3", "gemma", "gemma2", "gemma3", "qwen2", "qwen3"]


def yarn(rope, base, dim, max_positions):
    old, factor = rope["original_max_position_embeddings"], rope.get("factor")
    if factor is None:
        factor = max_positions / old

    def scale(mscale):
        return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0

    attention = rope.get("attention_factor")
    if attention is None:
        both = rope.get("mscale") and rope.get("mscale_all_dim")
        attention = scale(rope["mscale"]) / scale(rope["mscale_all_dim"]) if both else scale(1.0)

    def corner(turns):
        return dim * math.log(old / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = corner(rope.get("beta_fast") or 32), corner(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    if low == high:
        high += 0.001
    out = []
    for i in range(dim // 2):
        f, ramp = base ** (-2 * i / dim), min(max((i - low) / (high - low), 0.0), 1.0)
        out.append(f / factor * ramp + f * (1 - ramp))
    return out, attention


def longrope(rope, base, dim, max_positions, length):
    old = rope["original_max_position_embeddings"]
    factor, attention = rope.get("factor") or max_positions / old, rope.get("attention_factor")
    if attention is None:
        attention = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(old))
    scales = rope["long_factor" if length > old else "short_factor"]
    return [base ** (-2 * i / dim) / scales[i] for i in range(dim // 2)], attention


def true_frequencies(config, rope, length):
    """Inverse frequencies in fp64 and the factor of cos and sin, from the papers' formulas."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    dim, base, kind = int(head_dim * rope.get("partial_rotary_factor", 1.0)), rope["rope_theta"], rope["rope_type"]
    if kind == "yarn":
        return yarn(rope, base, dim, config.max_position_embeddings)
    if kind == "longrope":
        return longrope(rope, base, dim, config.max_position_embeddings, length)
    if kind == "dynamic":
        reached = max(length, config.max_position_embeddings) / config.max_position_embeddings
        base *= (rope["factor"] * reached - (rope["factor"] - 1)) ** (dim / (dim - 2))
    out = []
    for i in range(0, dim, 2):
        f = base ** (-i / dim)
        if kind == "linear":
            f /= rope["factor"]
        if kind == "llama3":
            old = rope["original_max_position_embeddings"]
            wave = 2 * math.pi / f
            if wave > old / rope["low_freq_factor"]:
                f /= rope["factor"]
            elif wave >= old / rope["high_freq_factor"]:
                s = (old / wave - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
                f = (1 - s) * f / rope["factor"] + s * f
        out.append(f)
    return out, 1.0


def replace_norm(cls, plus_one):
    original = cls.forward

    def forward(self, x):
        if x.dtype != torch.float64:
            return original(self, x)
        eps = self.eps if plus_one else self.variance_epsilon
        weight = self.weight + 1 if plus_one else self.weight
        return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))

    cls.forward = forward


def replace_rotary(cls):
    original = cls.forward

    def forward(self, x, position_ids, layer_type=None):
        named = () if layer_type is None else (layer_type,)
        if x.dtype != torch.float64:
            return original(self, x, position_ids, *named)
        rope = self.config.rope_parameters if layer_type is None else self.config.rope_parameters[layer_type]
        frequencies, attention = true_frequencies(self.config, rope, int(position_ids.max()) + 1)
        angles = position_ids[..., None].double() * torch.tensor(frequencies, dtype=torch.float64)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos() * attention, angles.sin() * attention

    cls.forward = forward


def replace_embedding(cls):
    original = cls.forward

    def forward(self, ids):
        if self.weight.dtype != torch.float64:
            return original(self, ids)
        return torch.nn.Embedding.forward(self, ids) * self.scalar_embed_scale

    cls.forward = forward


def replace_eager(module):
    original = module.eager_attention_forward

    def eager(attention, query, key, value, mask, dropout=0.0, scaling=None, softcap=None, **kwargs):
        if query.dtype != torch.float64:
            return original(attention, query, key, value, mask, dropout=dropout, scaling=scaling, softcap=softcap,
                            **kwargs)
        groups = attention.num_key_value_groups
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        scores = query @ key.transpose(2, 3) * scaling
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    module.eager_attention_forward = eager


def make_fp64_true():
    for family in FAMILIES:
        module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
        for name in dir(module):
            cls = getattr(module, name)
            if not isinstance(cls, type) or cls.__module__ != module.__name__:
                continue
            if name.endswith("RMSNorm"):
                replace_norm(cls, plus_one=family.startswith("gemma"))
            elif name.endswith("RotaryEmbedding"):
                replace_rotary(cls)
            elif name.endswith("ScaledWordEmbedding"):
                replace_embedding(cls)
        if family == "gemma2":
            replace_eager(module)
