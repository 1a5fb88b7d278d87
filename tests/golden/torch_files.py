# SPDX-License-Identifier: Apache-2.0
"""Files of torch.save for tests/golden/torch_file_test.cc: tools/oracle torch_files.py VERB …

  write DIR          files by torch.save and, per tensor, its bytes row by row: DIR/<file>.bin, DIR/<file>/<name>.raw
  open DIR TIED FILE …  what torch.load(weights_only=True) reads from FILE, plain and mapped, equals DIR/<name>.raw;
                     TIED is a comma-separated list of names that share their data
  args FILE          the fields of a pickled TrainingArguments as one line of JSON
"""
import json
import os
import sys
import zipfile
from collections import OrderedDict

import torch


def raw(tensor):
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def tensors():
    generator = torch.Generator().manual_seed(7)
    weight = torch.randn(5, 6, generator=generator)
    out = OrderedDict()
    for name, dtype in [("f64", torch.float64), ("f16", torch.float16), ("bf16", torch.bfloat16),
                        ("i64", torch.int64), ("i32", torch.int32), ("i16", torch.int16), ("i8", torch.int8),
                        ("u8", torch.uint8), ("bool", torch.bool)]:
        out[name] = (weight * 10).abs().to(dtype)
    out["weight"] = weight
    out["tied"] = weight
    out["transposed"] = weight.t()
    out["view"] = weight[1:4, ::2]
    out["column"] = weight[:, 3]
    out["permuted"] = torch.randn(2, 3, 4, generator=generator).permute(2, 0, 1)
    out["position_ids"] = torch.arange(9).expand((1, -1))
    out["parameter"] = torch.nn.Parameter(torch.ones(2, 3))
    out["scalar"] = torch.tensor(3.5)
    out["empty"] = torch.zeros(0, 4)
    return out


def write(folder):
    state = tensors()
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2)).state_dict()
    files = {"state": (state, {}), "protocol4": (state, dict(pickle_protocol=4)), "dict": (dict(state), {}),
             "module": (module, {}), "nothing": (OrderedDict(), {})}
    for name, (values, options) in files.items():
        torch.save(values, os.path.join(folder, name + ".bin"), **options)
        os.makedirs(os.path.join(folder, name))
        for key, tensor in values.items():
            with open(os.path.join(folder, name, key + ".raw"), "wb") as file:
                file.write(raw(tensor))
    torch.save(module, os.path.join(folder, "old.bin"), _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "model": module}, os.path.join(folder, "trainer.bin"))
    torch.save(torch.nn.Linear(2, 2), os.path.join(folder, "object.bin"))
    torch.save({"x": torch.zeros(1).expand(1000)}, os.path.join(folder, "expanded.bin"))
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), os.path.join(folder, "script.bin"))


def open_files(folder, tied, *paths):
    for path in paths:
        open_file(path, folder, tied)
    print("equal")


def open_file(path, folder, tied):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    expected = sorted(name[:-4] for name in os.listdir(folder))
    for mapped in (False, True):
        state = torch.load(path, weights_only=True, mmap=mapped)
        assert sorted(state) == expected, sorted(state)
        for name, tensor in state.items():
            with open(os.path.join(folder, name + ".raw"), "rb") as file:
                assert raw(tensor) == file.read(), name
            assert tensor.is_contiguous()
        assert len({state[name].data_ptr() for name in tied.split(",")}) == 1


def arguments(path):
    args = torch.load(path, weights_only=False)
    assert type(args).__name__ == "TrainingArguments", type(args)
    str(args), args.device, args.n_gpu, args.world_size, args.train_batch_size, args.get_warmup_steps(100)
    print(json.dumps(args.to_dict()))


if __name__ == "__main__":
    {"write": write, "open": open_files, "args": arguments}[sys.argv[1]](*sys.argv[2:])
