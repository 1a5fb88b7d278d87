# SPDX-License-Identifier: Apache-2.0
"""HF's Trainer beside runs of ours: tools/oracle hf_trainer.py prepare ROOT | train REQUEST.json OUT.json

prepare: a cohort of our own generator with its base (ROOT/data), and a tiny BERT without dropout (ROOT/bert).
train: for each case of REQUEST, HF's Trainer from the same weights on the same batches in the same order. Of its arguments
only those are set that our configuration sets; the rest are HF's defaults. OUT holds each step's loss, gradient norm and
learning rate, and how far our final weights lie from HF's, of each tensor, beside how far HF's moved.
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "integration"))


def prepare(root):
    import subprocess

    import bert_support
    import run_support
    data, bert = root / "data", root / "bert"
    subprocess.run([run_support.BIN / "anamnesis", "synth", "--out", data, "--subjects", "150", "--seed", "5"],
                   check=True, capture_output=True, timeout=120)
    bert_support.write_base(bert, data)
    config = json.loads((bert / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (bert / "config.json").write_text(json.dumps(config))


def train_all(request, out):
    import torch
    import transformers
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import (AutoModelForCausalLM, AutoModelForSequenceClassification, Trainer, TrainingArguments)

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()

    class InOrder(Trainer):
        def _get_train_sampler(self, train_dataset=None):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    def load(case):
        auto = AutoModelForSequenceClassification if case["classes"] else AutoModelForCausalLM
        if case["whole_model"]:
            return auto.from_pretrained(case["initial"], dtype=torch.float32)
        labels = {"num_labels": case["classes"]} if case["classes"] else {}
        base = auto.from_pretrained(case["base"], dtype=torch.float32, **labels)
        # HF finds a document's end by its padding: an id that no document has.
        used = {i for batch in case["batches"] for document in batch for i in document["ids"]}
        base.config.pad_token_id = min(set(range(base.config.vocab_size)) - used)
        return PeftModel.from_pretrained(base, case["initial"], is_trainable=True)

    def collate(pad, classes):
        def padded(batches):
            (batch,) = batches
            longest = max(len(document["ids"]) for document in batch)
            rows = {"input_ids": [], "attention_mask": [], "labels": []}
            for document in batch:
                ids, missing = document["ids"], longest - len(document["ids"])
                rows["input_ids"].append(ids + [pad] * missing)
                rows["attention_mask"].append([1] * len(ids) + [0] * missing)
                if classes:
                    rows["labels"].append(document["label"])
                else:
                    prompt = document["prompt_ids"]
                    rows["labels"].append([-100] * prompt + ids[prompt:] + [-100] * missing)
            return {key: torch.tensor(value) for key, value in rows.items()}
        return padded

    def weights_of(model, case):
        state = model.state_dict() if case["whole_model"] else get_peft_model_state_dict(model)
        return {name: value.detach().double() for name, value in state.items()}

    def distances(case, final):
        """[|ours - HF's|, |HF's - the first|] of each tensor."""
        name = "model.safetensors" if case["whole_model"] else "adapter_model.safetensors"
        ours, first = load_file(case["final"] + "/" + name), load_file(case["initial"] + "/" + name)
        assert set(ours) == set(first) == set(final), set(ours) ^ set(final)
        return {name: [(ours[name].double() - value).norm().item(), (value - first[name].double()).norm().item()]
                for name, value in final.items()}

    results = {}
    for name, case in request.items():
        model = load(case)
        arguments = TrainingArguments(
            output_dir=case["final"] + "/.hf", use_cpu=True, max_steps=case["steps"], per_device_train_batch_size=1,
            gradient_accumulation_steps=case["accumulation"], logging_steps=1, save_strategy="no", report_to="none",
            disable_tqdm=True, remove_unused_columns=False, dataloader_pin_memory=False, **case["arguments"])
        trainer = InOrder(model=model, args=arguments, train_dataset=case["batches"],
                          data_collator=collate(model.config.pad_token_id, case["classes"]))
        trainer.train()
        rows = [row for row in trainer.state.log_history if "loss" in row]
        results[name] = {"log": rows, "distances": distances(case, weights_of(trainer.model, case))}
    out.write_text(json.dumps(results))


def main():
    if sys.argv[1] == "prepare":
        prepare(pathlib.Path(sys.argv[2]))
    else:
        train_all(json.loads(pathlib.Path(sys.argv[2]).read_text()), pathlib.Path(sys.argv[3]))


main()
