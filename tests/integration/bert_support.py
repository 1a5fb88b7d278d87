# SPDX-License-Identifier: Apache-2.0
"""A tiny BERT as PubMedBERT's folder has it (vocab.txt, a masked-language head, no tokenizer.json), and a cohort of our
own generator. Standard library only."""

import array
import csv
import json
import math
import random
import struct
import subprocess

import run_support

HIDDEN, INNER, LAYERS, HEADS, POSITIONS = 32, 64, 2, 4, 512
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def words_of(data):
    """Lower-case words of the lookups: what narratives are made of."""
    found = set()
    for path in sorted(data.glob("*lookup.csv")):
        with open(path, newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                found.update(word for word in row["term"].lower().split() if word.isalpha() and word.isascii())
    return sorted(found)


def vocabulary(data):
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    return SPECIAL + characters + ["##" + c for c in characters if c.isalnum()] + \
        [word for word in words_of(data) if len(word) > 1]


def shapes(size):
    found = {"bert.embeddings.word_embeddings.weight": (size, HIDDEN),
             "bert.embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
             "bert.embeddings.token_type_embeddings.weight": (2, HIDDEN),
             "cls.predictions.transform.dense.weight": (HIDDEN, HIDDEN),
             "cls.predictions.transform.dense.bias": (HIDDEN,), "cls.predictions.bias": (size,),
             "cls.predictions.transform.LayerNorm.weight": (HIDDEN,),
             "cls.predictions.transform.LayerNorm.bias": (HIDDEN,)}
    norms = ["bert.embeddings.LayerNorm"]
    for layer in range(LAYERS):
        prefix = f"bert.encoder.layer.{layer}."
        for name, out, into in (("attention.self.query", HIDDEN, HIDDEN), ("attention.self.key", HIDDEN, HIDDEN),
                                ("attention.self.value", HIDDEN, HIDDEN), ("attention.output.dense", HIDDEN, HIDDEN),
                                ("intermediate.dense", INNER, HIDDEN), ("output.dense", HIDDEN, INNER)):
            found |= {f"{prefix}{name}.weight": (out, into), f"{prefix}{name}.bias": (out,)}
        norms += [prefix + "attention.output.LayerNorm", prefix + "output.LayerNorm"]
    for norm in norms:
        found |= {norm + ".weight": (HIDDEN,), norm + ".bias": (HIDDEN,)}
    return found | {"bert.pooler.dense.weight": (HIDDEN, HIDDEN), "bert.pooler.dense.bias": (HIDDEN,)}


def write_base(folder, data, seed=3):
    folder.mkdir(parents=True)
    words = vocabulary(data)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": POSITIONS}))
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["BertForMaskedLM"], "model_type": "bert", "vocab_size": len(words), "hidden_size": HIDDEN,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0}))
    generator = random.Random(seed)
    header, blocks, offset = {}, [], 0
    for name, shape in sorted(shapes(len(words)).items()):
        count = math.prod(shape)
        if name.endswith("LayerNorm.weight"):
            values = [1.0] * count
        else:
            values = [generator.gauss(0, 0.1) for _ in range(count)]
        block = array.array("f", values).tobytes()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + len(block)]}
        offset += len(block)
        blocks.append(block)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blocks))


def write_cohort(folder, subjects, seed=11):
    subprocess.run([run_support.BIN / "anamnesis", "synth", "--out", folder, "--subjects", str(subjects), "--seed",
                    str(seed), "--no-base"], check=True, capture_output=True, timeout=120)


def overrides(base, data, output, *more):
    """The paths of the seed's file, and what `more` says."""
    pairs = [f"model.model_name={base}", f"data.data_dir={data}", f"data.vocab_filepath={data}/vocab.csv",
             f"data.labels_filepath={data}/labels.csv", f"data.medical_lookup_filepath={data}/medical_lookup.csv",
             f"data.lab_lookup_filepath={data}/lab_lookup.csv", f"training.output_dir={output}", *more]
    return [word for pair in pairs for word in ("--set", pair)]
