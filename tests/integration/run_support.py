# SPDX-License-Identifier: Apache-2.0
"""What the tests of `run` share: a tiny Llama base made here, small data made here or copied from the shared set, and
runs of the real programs. Standard library only."""

import array
import hashlib
import json
import math
import os
import pathlib
import pickle
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(os.environ["ANAMNESIS_SOURCE_DIR"])
BIN = pathlib.Path(os.environ["ANAMNESIS_BIN_DIR"])
SHARED = pathlib.Path(os.environ.get("ANAMNESIS_SHARED_DIR", SOURCE.parent / "shared")) / "data"
VOCABULARY = 32064  # phi-3-mini's ids, and not a multiple of 64 more


def write_python_stubs(folder):
    """Python modules of every message and service of proto/, for gRPC's own package."""
    folder.mkdir()
    subprocess.run(["protoc", f"--proto_path={SOURCE}/proto", f"--python_out={folder}", f"--grpc_python_out={folder}",
                    f"--plugin=protoc-gen-grpc_python={shutil.which('grpc_python_plugin')}",
                    *map(str, sorted((SOURCE / "proto").rglob("*.proto")))], check=True)


def shared_data_is_absent():
    return not (SHARED / "mimic-demo-seed").is_dir() or not (SHARED / "tokenizers" / "phi-3-mini").is_dir()


def write_base(folder, model_type="llama", seed=1):
    """A Llama with grouped heads and a head_dim apart from hidden / heads, and the phi-3-mini tokenizer."""
    folder.mkdir(parents=True)
    hidden, inner, heads, kv_heads, head_dim, layers = 32, 48, 4, 2, 12, 2
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": model_type, "vocab_size": VOCABULARY,
        "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head_dim, "max_position_embeddings": 2048, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False, "bos_token_id": 1,
        "eos_token_id": 32000, "torch_dtype": "float32"}))
    shapes = {"model.embed_tokens.weight": (VOCABULARY, hidden), "model.norm.weight": (hidden,),
              "lm_head.weight": (VOCABULARY, hidden)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        shapes |= {prefix + "input_layernorm.weight": (hidden,), prefix + "post_attention_layernorm.weight": (hidden,),
                   prefix + "self_attn.q_proj.weight": (heads * head_dim, hidden),
                   prefix + "self_attn.k_proj.weight": (kv_heads * head_dim, hidden),
                   prefix + "self_attn.v_proj.weight": (kv_heads * head_dim, hidden),
                   prefix + "self_attn.o_proj.weight": (hidden, heads * head_dim),
                   prefix + "mlp.gate_proj.weight": (inner, hidden), prefix + "mlp.up_proj.weight": (inner, hidden),
                   prefix + "mlp.down_proj.weight": (hidden, inner)}
    generator = random.Random(seed)
    header, blocks, offset = {}, [], 0
    for name in sorted(shapes):
        shape = shapes[name]
        count = 1
        for size in shape:
            count *= size
        scale = 0.2
        values = [1.0] * count if len(shape) == 1 else [generator.uniform(-scale, scale) for _ in range(count)]
        block = array.array("f", values).tobytes()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + len(block)]}
        offset += len(block)
        blocks.append(block)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blocks))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(SHARED / "tokenizers" / "phi-3-mini" / name, folder / name)


def copy_data(folder, train_subjects=None, tuning_subjects=None, held_out="copy"):
    """mimic-demo-seed, or its first subjects. held_out: copy | garbage | dangling."""
    source = SHARED / "mimic-demo-seed"
    folder.mkdir(parents=True)
    for path in source.glob("*.csv"):
        shutil.copyfile(path, folder / path.name)
    for split, limit in (("train", train_subjects), ("tuning", tuning_subjects), ("held_out", 2)):
        target = folder / split
        if split == "held_out" and held_out == "garbage":
            target.write_bytes(b"\x80\x04garbage, no folder at all")
            continue
        if split == "held_out" and held_out == "dangling":
            target.symlink_to("/nonexistent/held_out")
            continue
        target.mkdir()
        left = limit
        for path in sorted((source / split).glob("*.pkl")):
            if limit is None:
                shutil.copyfile(path, target / path.name)
                continue
            subjects = pickle.loads(path.read_bytes())[:left]  # the shared set, trusted
            if subjects:
                (target / path.name).write_bytes(pickle.dumps(subjects, protocol=4))
            left -= len(subjects)


def job_text(base, data, output, **changes):
    """The YAML of a small job; `changes` are section_key="value" over it."""
    sections = {
        "model": {"model_name": base, "max_length": 256},
        "data": {"data_dir": data, "vocab_filepath": f"{data}/vocab.csv", "labels_filepath": f"{data}/labels.csv",
                 "medical_lookup_filepath": f"{data}/medical_lookup.csv",
                 "lab_lookup_filepath": f"{data}/lab_lookup.csv", "cutoff_months": 1, "on_missing_date": "keep"},
        "lora": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.05,
                 "target_modules": '["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]', "use_rslora": "true"},
        "training": {"output_dir": output, "framework": "peft", "epochs": 1, "batch_size": 4,
                     "gradient_accumulation_steps": 4, "learning_rate": "1e-2", "warmup_steps": 2, "logging_steps": 2,
                     "eval_steps": 4, "save_steps": 4},
    }
    for name, value in changes.items():
        section, key = name.split("_", 1)
        sections[section][key] = value
    lines = []
    for section, keys in sections.items():
        lines.append(f"{section}:")
        lines += [f"  {key}: {value}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def read_safetensors(path):
    """{name: (shape, values)} of a file of float32 tensors that fills its bytes without a hole."""
    content = pathlib.Path(path).read_bytes()
    length = struct.unpack_from("<Q", content)[0]
    header, data = json.loads(content[8:8 + length]), content[8 + length:]
    tensors, end = {}, 0
    for name, entry in sorted(((name, entry) for name, entry in header.items() if name != "__metadata__"),
                              key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        values = array.array("f", data[begin:stop])
        if entry["dtype"] != "F32" or begin != end or len(values) != math.prod(entry["shape"]):
            raise ValueError(f"{path}: {name}: {entry}")
        tensors[name], end = (tuple(entry["shape"]), values), stop
    if end != len(data):
        raise ValueError(f"{path}: {len(data)} bytes of data, the header describes {end}")
    return tensors


def read_json(path):
    return json.loads(pathlib.Path(path).read_text())


class Workplace:
    """A temporary folder with a base model, data and a data directory that its runs share."""

    def __init__(self, train_subjects, tuning_subjects):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="anam-run-"))
        self.base = self.root / "base"
        self.data = self.root / "data"
        self.cache = self.root / "cache"
        write_base(self.base)
        copy_data(self.data, train_subjects, tuning_subjects)

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def job(self, name, data=None, **changes):
        path = self.root / f"{name}.yaml"
        path.write_text(job_text(self.base, data or self.data, self.root / name, **changes))
        return path

    def command(self, job, *options, binaries=BIN, cache=None):
        return [str(binaries / "anamnesis-worker"), "run", "--task", "pretrain_llm", str(job), "--data-dir",
                str(cache or self.cache), *options]

    def run(self, job, *options, **more):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        environment["HF_HOME"] = str(self.root / "no-cache")
        environment["HF_HUB_OFFLINE"] = "1"  # a test asks no network
        return subprocess.run(self.command(job, *options, **more), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=240, env=environment)

    def start(self, job, *options):
        return LiveRun(self.command(job, *options))


class LiveRun:
    """A run in the background, in a process group of its own."""

    def __init__(self, command):
        self.lines = []
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                        start_new_session=True)

    def wait_for(self, word, timeout_s=120):
        """Reads lines until one holds the word."""
        deadline = time.monotonic() + timeout_s
        for line in self.process.stderr:
            self.lines.append(line)
            if word in line:
                return line
            if time.monotonic() > deadline:
                break
        raise AssertionError(f"no line with {word!r}: {''.join(self.lines)}")

    def ranks(self):
        """Pids of the rank processes, by rank."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (OSError, IndexError):
                continue
            if parent == self.process.pid and b"--channel-fd" in words:
                found[int(words[1].decode().rsplit("-", 1)[1].split(".")[0])] = int(entry.name)
        return [found[rank] for rank in sorted(found)]

    def end(self):
        self.lines += self.process.stderr.readlines()
        return self.process.wait(timeout=120)

    def close(self):
        if self.process.poll() is None:
            for pid in self.ranks():
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()


def is_alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_until_gone(pids, timeout_s):
    """Seconds until none of the processes lives, or None."""
    begin = time.monotonic()
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() - begin > timeout_s:
            return None
        time.sleep(0.01)
    return time.monotonic() - begin
