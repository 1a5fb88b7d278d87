# SPDX-License-Identifier: Apache-2.0
"""The cases of make_golden.py: a tiny config of a family with awkward numbers, and a PEFT adapter."""
from dataclasses import dataclass, field

import transformers

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
SHAPE = dict(vocab_size=131, hidden_size=48, intermediate_size=76, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, head_dim=10, max_position_embeddings=256, initializer_range=0.1)
SEVEN_LORA = dict(r=4, lora_alpha=8, target_modules=SEVEN)
VISION = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28,
              patch_size=14)


@dataclass
class Case:
    config: type
    changes: dict
    lora: dict
    batches: int = 3
    alone: bool = False  # one document a batch: the rope depends on the longest
    eager: bool = False  # sdpa has no soft cap
    old_spelling: bool = False
    drop: list = field(default_factory=list)  # keys of SHAPE that the family derives
    multimodal: bool = False


def llama(changes, lora, **more):
    return Case(transformers.LlamaConfig, changes, lora, batches=6, **more)


CASES = {
    "plain": llama(dict(), SEVEN_LORA),
    "linear_bias_rslora": llama(
        dict(attention_bias=True, mlp_bias=True, rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=5e4)),
        dict(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"],
             rank_pattern={"v_proj": 3, r"layers\.1\.mlp\.down_proj": 5}, alpha_pattern={"q_proj": 12})),
    "llama3_saved": llama(
        dict(num_key_value_heads=1, rope_parameters=dict(
            rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, rope_theta=1e4,
            original_max_position_embeddings=64)),
        dict(r=3, lora_alpha=8, target_modules=SEVEN, modules_to_save=["embed_tokens", "lm_head"])),
    "regex_old_rope": llama(
        dict(num_key_value_heads=4, rope_parameters=dict(rope_type="linear", factor=3.0, rope_theta=1e4)),
        dict(r=2, lora_alpha=3, target_modules=r".*\.0\.self_attn\.(q|v)_proj", modules_to_save=["lm_head"]),
        old_spelling=True),
    "tied": llama(dict(tie_word_embeddings=True), SEVEN_LORA),
    "tied_saved": llama(dict(tie_word_embeddings=True),
                        dict(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"])),
    "llama_dynamic": Case(
        transformers.LlamaConfig,
        dict(max_position_embeddings=40, rope_parameters=dict(rope_type="dynamic", factor=3.0, rope_theta=1e4)),
        SEVEN_LORA, alone=True),
    "mistral": Case(transformers.MistralConfig, dict(sliding_window=16, head_dim=14, hidden_act="gelu"), SEVEN_LORA),
    "phi": Case(transformers.PhiConfig,
                dict(qk_layernorm=True, rope_parameters=dict(rope_type="default", rope_theta=1e4,
                                                             partial_rotary_factor=0.5)),
                dict(r=4, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"],
                     modules_to_save=["lm_head"]), drop=["head_dim"]),
    "phi_plain": Case(transformers.PhiConfig, dict(num_key_value_heads=4, pad_token_id=3, rope_parameters=dict(
        rope_type="dynamic", factor=2.0, rope_theta=1e4, partial_rotary_factor=0.4), max_position_embeddings=50),
        dict(r=2, lora_alpha=8, target_modules="all-linear", modules_to_save=["embed_tokens"]), alone=True),
    "phi3": Case(transformers.Phi3Config,
                 dict(num_attention_heads=3, num_key_value_heads=1, sliding_window=16, pad_token_id=None,
                      rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.75)),
                 dict(r=4, lora_alpha=8, target_modules=FUSED), drop=["head_dim"]),
    "phi3_longrope": Case(transformers.Phi3Config,
                          dict(original_max_position_embeddings=32, pad_token_id=7, rope_parameters=dict(
                              rope_type="longrope", rope_theta=1e4, short_factor=[1.0, 1.1, 1.3, 1.5, 1.9, 2.5],
                              long_factor=[1.2, 1.9, 3.0, 5.0, 9.0, 17.0])),
                          dict(r=4, lora_alpha=8, target_modules="all-linear"), alone=True, drop=["head_dim"]),
    "gemma": Case(transformers.GemmaConfig, dict(num_key_value_heads=1, head_dim=20), SEVEN_LORA),
    "gemma2": Case(transformers.Gemma2Config,
                   dict(sliding_window=16, query_pre_attn_scalar=24, attn_logit_softcapping=2.0,
                        final_logit_softcapping=3.0), SEVEN_LORA, eager=True),
    "gemma3": Case(transformers.Gemma3TextConfig,
                   dict(num_hidden_layers=3, sliding_window=16, query_pre_attn_scalar=24, final_logit_softcapping=3.0,
                        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                        rope_parameters=dict(
                            full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
                            sliding_attention=dict(rope_type="default", rope_theta=1e4))),
                   dict(r=4, lora_alpha=8, target_modules=SEVEN, modules_to_save=["embed_tokens"])),
    "gemma3_nested": Case(transformers.Gemma3TextConfig, dict(sliding_window=16, sliding_window_pattern=2),
                          dict(r=4, lora_alpha=8, target_modules=r"model\.language_model\..*\.(q_proj|up_proj|o_proj)"),
                          multimodal=True),
    "qwen2": Case(transformers.Qwen2Config,
                  dict(use_sliding_window=True, sliding_window=16, max_window_layers=1, hidden_act="relu",
                       tie_word_embeddings=True), SEVEN_LORA, drop=["head_dim"]),
    "qwen3": Case(transformers.Qwen3Config,
                  dict(attention_bias=True, rope_parameters=dict(rope_type="yarn", factor=4.0, rope_theta=1e4,
                                                                 original_max_position_embeddings=64)), SEVEN_LORA),
    "qwen3_yarn": Case(transformers.Qwen3Config,
                       dict(head_dim=16, hidden_act="gelu_pytorch_tanh", rope_parameters=dict(
                           rope_type="yarn", factor=3.0, rope_theta=1e5, original_max_position_embeddings=32,
                           beta_fast=16, beta_slow=2, mscale=0.8, mscale_all_dim=0.5, truncate=False)),
                       SEVEN_LORA, batches=2),
    "bias_lora_only": llama(dict(attention_bias=True, mlp_bias=True),
                            dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], bias="lora_only")),
}
