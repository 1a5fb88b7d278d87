# SPDX-License-Identifier: Apache-2.0
"""Opens merged models: tools/oracle merge_opens.py OUT CASE..., of make_merge.py, merged into OUT/<case>/<dtype>/merged.
Every tensor has the bits of PEFT's merge, model.safetensors those of Python's writer, and the logits of transformers
are those of base and adapter in PEFT up to rounding."""
import os
import sys

os.environ["TORCHDYNAMO_DISABLE"] = "1"

import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file, save
from transformers import AutoModelForCausalLM, GenerationConfig

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "nf4": torch.bfloat16}
TOLERANCE = {"f32": 1e-5, "f16": 0.01, "bf16": 0.05, "nf4": 0.05}  # of the largest logit


def check(folder, dtype):
    path = os.path.join(folder, "merged")
    ours, theirs = load_file(f"{path}/model.safetensors"), load_file(f"{folder}/peft.safetensors")
    with open(f"{path}/model.safetensors", "rb") as file:
        assert file.read() == save(ours, metadata={"format": "pt"}), "bytes differ from Python's writer"
    # transformers' names of the same tensors
    model, report = AutoModelForCausalLM.from_pretrained(path, dtype=DTYPES[dtype], output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    state = model.state_dict()
    if not model.config.get_text_config().tie_word_embeddings:
        assert state["lm_head.weight"].data_ptr() != model.get_input_embeddings().weight.data_ptr()
    for name, value in theirs.items():
        assert state[name].dtype == value.dtype and torch.equal(state[name], value), name
    ids = torch.randint(0, model.config.get_text_config().vocab_size, (2, 31), generator=torch.Generator().manual_seed(1))
    base = AutoModelForCausalLM.from_pretrained(f"{folder}/base", dtype=DTYPES[dtype])
    adapted = PeftModel.from_pretrained(base, f"{folder}/adapter").eval()
    with torch.no_grad():
        wanted, found = adapted(input_ids=ids).logits.double(), model.eval()(input_ids=ids).logits.double()
    difference = ((wanted - found).abs().max() / wanted.abs().max()).item()
    assert difference <= TOLERANCE[dtype], difference
    assert GenerationConfig.from_pretrained(path).max_new_tokens == 7
    return len(theirs), difference


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for case in sys.argv[2:]:
        count, difference = check(os.path.join(sys.argv[1], case), case.split("/")[1])
        print(f"{case}: {count} tensors equal PEFT's in bits, logits differ by {difference:.2g} of the largest")


main()
