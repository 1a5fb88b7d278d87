# SPDX-License-Identifier: Apache-2.0
"""Golden values of sequence classifiers from HF transformers: tools/oracle make_encoder_golden.py OUT [MINILM]

Each case is a seeded, tiny random classifier of one family. For a few batches of labelled documents and fp64, fp32 and
bf16 (fp32 masters under autocast, as HF's Trainer does) it writes the logits, the sum of the losses and the gradient of
every parameter of that sum, of the documents as one padded batch:
  OUT/<case>/base                   config.json and model.safetensors
  OUT/<case>/decay.json             the parameters that HF's Trainer decays
  OUT/<case>/<batch>.safetensors    ids, types, lengths, labels, <dtype>/{logits,loss,grad/<name>}
  OUT/mlm-<family>                  a masked-language model of the same encoder; hidden.safetensors its hidden states
  OUT/losses.safetensors            weighted and focal losses of given logits
  OUT/minilm.safetensors            hidden states of the real MiniLM in the directory MINILM
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForPreTraining,
                          AutoModelForSequenceClassification, Trainer)
from transformers.models.modernbert import modeling_modernbert

BATCHES = 8
LENGTHS = [37, 5, 66, 2, 13, 91]
VOCABULARY = 131
COMMON = dict(vocab_size=VOCABULARY, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=76,
              max_position_embeddings=128, initializer_range=0.1, num_labels=3)
MODERN = dict(COMMON, num_hidden_layers=4, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1,
              sep_token_id=2)
CASES = {
    "bert": ("bert", COMMON),
    # Five classes: a bias of two is one number a batch, too few to compare errors by.
    "bert_gelu_new": ("bert", dict(COMMON, hidden_act="gelu_new", type_vocab_size=3, num_labels=5, hidden_size=45,
                                   num_attention_heads=3, layer_norm_eps=1e-6)),
    "roberta": ("roberta", dict(COMMON, type_vocab_size=1, hidden_act="relu")),
    "distilbert": ("distilbert", dict(vocab_size=VOCABULARY, dim=48, n_layers=2, n_heads=4, hidden_dim=76,
                                      max_position_embeddings=128, initializer_range=0.1, num_labels=3)),
    "electra": ("electra", dict(COMMON, embedding_size=24)),
    "modernbert": ("modernbert", dict(MODERN, local_attention=16)),
    "modernbert_mean": ("modernbert", dict(MODERN, local_attention=8, classifier_pooling="mean", norm_bias=True,
                                           attention_bias=True, mlp_bias=True, classifier_bias=True,
                                           global_attn_every_n_layers=2, hidden_activation="silu", num_labels=2)),
}


def make_fp64_true():
    """HF takes modernbert's angles and rotation in fp32 even for an fp64 model: for fp64 both are replaced."""
    rotary, apply = modeling_modernbert.ModernBertRotaryEmbedding.forward, modeling_modernbert.apply_rotary_pos_emb

    def rotary64(self, x, position_ids, layer_type):
        if x.dtype != torch.float64:
            return rotary(self, x, position_ids, layer_type)
        dim = self.config.hidden_size // self.config.num_attention_heads
        theta = self.config.rope_parameters[layer_type]["rope_theta"]
        frequencies = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        angles = position_ids[..., None].double() * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()

    def apply64(q, k, cos, sin, unsqueeze_dim=1):
        if q.dtype != torch.float64:
            return apply(q, k, cos, sin, unsqueeze_dim=unsqueeze_dim)
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        half = modeling_modernbert.rotate_half
        return q * cos + half(q) * sin, k * cos + half(k) * sin

    modeling_modernbert.ModernBertRotaryEmbedding.forward = rotary64
    modeling_modernbert.apply_rotary_pos_emb = apply64


def randomise(model):
    """Norms and biases away from one and zero, where a wrong use would not show."""
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            center = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            with torch.no_grad():
                parameter.copy_(center + 0.2 * torch.randn(parameter.shape))


def padded(documents, pad):
    longest = max(len(ids) for ids in documents)
    out = torch.full((len(documents), longest), pad, dtype=torch.long)
    mask = torch.zeros_like(out)
    for i, ids in enumerate(documents):
        out[i, : len(ids)], mask[i, : len(ids)] = ids, 1
    return out, mask


def arguments(config, documents, types):
    ids, mask = padded(documents, config.pad_token_id)
    out = dict(input_ids=ids, attention_mask=mask)
    if getattr(config, "type_vocab_size", 0) and config.model_type not in ("distilbert", "modernbert"):
        out["token_type_ids"] = padded(types, 0)[0]
    return out


def run(model, label, documents, types, labels):
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=label == "bf16"):
        out = model(**arguments(model.config, documents, types), labels=labels)
        loss = out.loss * len(documents)
    loss.backward()
    result = {"logits": out.logits.detach(), "loss": loss.detach().double().reshape(1)}
    for name, parameter in model.named_parameters():
        result["grad/" + name] = parameter.grad.clone()
    return result


def documents_of(config):
    # pad_token_id is left out: HF gives its embedding row no gradient, and roberta no position.
    low = config.pad_token_id + 1
    return [torch.randint(low, VOCABULARY, (length,)) for length in LENGTHS]


def make_case(out, index, name):
    torch.manual_seed(2000 + index)
    family, shape = CASES[name]
    config = AutoConfig.for_model(family, **shape)
    model = AutoModelForSequenceClassification.from_config(config)
    randomise(model)
    base = os.path.join(out, name, "base")
    model.save_pretrained(base)
    with open(os.path.join(out, name, "decay.json"), "w") as file:
        json.dump(Trainer.get_decay_parameter_names(None, model), file)
    goldens = []
    for _ in range(BATCHES):
        documents = documents_of(config)
        kinds = max(1, getattr(config, "type_vocab_size", 0) or 0)
        types = [torch.randint(0, kinds, (length,)) for length in LENGTHS]
        labels = torch.randint(0, config.num_labels, (len(LENGTHS),))
        goldens.append((documents, types, labels, {
            "ids": torch.cat(documents), "types": torch.cat(types), "lengths": torch.tensor(LENGTHS),
            "labels": labels}))
    for label, dtype in (("f64", torch.float64), ("f32", torch.float32), ("bf16", torch.float32)):
        model = AutoModelForSequenceClassification.from_pretrained(base, dtype=torch.float32).to(dtype)
        model.eval()  # no dropout
        for documents, types, labels, golden in goldens:
            for key, value in run(model, label, documents, types, labels).items():
                golden[label + "/" + key] = value.contiguous()
    for batch, (_, _, _, golden) in enumerate(goldens):
        save_file(golden, os.path.join(out, name, f"{batch}.safetensors"))


def hidden_states(model, documents):
    with torch.no_grad():
        out = model(**arguments(model.config, documents, [torch.zeros_like(ids) for ids in documents]))
    return torch.cat([out.last_hidden_state[i, : len(ids)] for i, ids in enumerate(documents)])


def make_mlm(out, index, name):
    """A masked-language model (electra: a discriminator), in a few spellings that old checkpoints have."""
    torch.manual_seed(3000 + index)
    family, shape = CASES[name]
    config = AutoConfig.for_model(family, **dict(shape, num_labels=2))
    maker = AutoModelForPreTraining if family in ("bert", "electra") else AutoModelForMaskedLM
    model = maker.from_config(config)
    randomise(model)
    directory = os.path.join(out, "mlm-" + name)
    model.save_pretrained(directory)
    documents = documents_of(config)
    encoder = AutoModel.from_pretrained(directory).eval()
    path = os.path.join(directory, "model.safetensors")
    tensors = load_file(path)
    if name == "bert":  # LayerNorm.gamma and .beta, and the buffer that transformers 4.30 still stored
        tensors = {key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
                   for key, value in tensors.items()}
        tensors["bert.embeddings.position_ids"] = torch.arange(128).unsqueeze(0)
    if name == "roberta":  # a plain encoder without the prefix
        tensors = {key.removeprefix("roberta."): value for key, value in tensors.items() if "lm_head" not in key}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, metadata={"format": "pt"})
    save_file({"ids": torch.cat(documents), "lengths": torch.tensor(LENGTHS),
               "hidden": hidden_states(encoder, documents).double()}, os.path.join(directory, "hidden.safetensors"))


def make_losses(out):
    torch.manual_seed(7)
    logits = (3 * torch.randn(17, 4, dtype=torch.float64)).requires_grad_()
    labels, weights = torch.randint(0, 4, (17,)), torch.tensor([0.5, 2.0, 1.25, 3.0], dtype=torch.float64)
    tensors = {"logits": logits.detach().clone(), "labels": labels, "weights": weights}
    log_p = torch.log_softmax(logits, -1).gather(1, labels[:, None]).squeeze(1)
    losses = {
        "plain": torch.nn.functional.cross_entropy(logits, labels),
        "weighted": torch.nn.functional.cross_entropy(logits, labels, weight=weights),
        "focal": ((1 - log_p.exp()) ** 2 * -log_p).mean(),
        "weighted_focal": (weights[labels] * (1 - log_p.exp()) ** 0.5 * -log_p).sum() / weights[labels].sum(),
    }
    for name, loss in losses.items():
        tensors[name] = loss.detach().reshape(1)
        tensors["grad/" + name] = torch.autograd.grad(loss, logits, retain_graph=True)[0]
    save_file(tensors, os.path.join(out, "losses.safetensors"))


def make_minilm(out, directory):
    torch.manual_seed(11)
    documents = [torch.cat([torch.tensor([101]), torch.randint(1000, 30000, (length,)), torch.tensor([102])])
                 for length in (62, 7, 126)]
    golden = {"ids": torch.cat(documents), "lengths": torch.tensor([len(ids) for ids in documents])}
    for label, dtype in (("f64", torch.float64), ("f32", torch.float32)):
        model = AutoModel.from_pretrained(directory, dtype=torch.float32).to(dtype).eval()
        golden[label] = hidden_states(model, documents)
    save_file(golden, os.path.join(out, "minilm.safetensors"))


def main():
    out = sys.argv[1]
    torch.set_num_threads(1)
    make_fp64_true()
    for index, name in enumerate(CASES):
        make_case(out, index, name)
    for index, name in enumerate(("bert", "roberta", "distilbert", "electra", "modernbert")):
        make_mlm(out, index, name)
    make_losses(out)
    if len(sys.argv) > 2:
        make_minilm(out, sys.argv[2])


main()
