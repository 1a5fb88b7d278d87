# SPDX-License-Identifier: Apache-2.0
"""Reads a run file with wandb's own reader and messages: tools/oracle read_wandb.py RUN.wandb OUT.json [...]

A torn end is taken as wandb's own sync takes it: an error in the last block ends the file.
"""
import json
import sys

from wandb.proto.wandb_internal_pb2 import Record
from wandb.sdk.internal.datastore import DataStore


def records(path):
    store = DataStore()
    store.open_for_scan(path)
    while True:
        try:
            data = store.scan_data()
        except AssertionError:
            if not store.in_last_block():
                raise
            return
        if data is None:
            return
        record = Record()
        record.ParseFromString(data)
        yield record


def items(message):
    return {item.key or "/".join(item.nested_key): item.value_json for item in message}


def read(path):
    out = {"kinds": [], "nums": [], "config": {}, "history": [], "summary": {}, "axes": {}}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        out["kinds"].append(kind)
        out["nums"].append(record.num)
        size = record.ByteSize()
        record.DiscardUnknownFields()
        assert record.ByteSize() == size, f"{kind}: fields that its message does not have"
        if kind == "run":
            run = record.run
            out["run"] = {"run_id": run.run_id, "project": run.project, "entity": run.entity, "group": run.run_group,
                          "job_type": run.job_type, "name": run.display_name, "notes": run.notes,
                          "tags": list(run.tags), "host": run.host, "start": run.start_time.ToJsonString()}
        elif kind == "config":
            out["config"].update({key: json.loads(text) for key, text in items(record.config.update).items()})
        elif kind == "history":
            line = items(record.history.item)
            assert int(line["_step"]) == record.history.step.num
            out["history"].append(line)
        elif kind == "summary":
            out["summary"].update(items(record.summary.update))
        elif kind == "metric":
            out["axes"][record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif kind == "exit":
            out["exit_code"] = record.exit.exit_code
    return out


def main():
    for path, target in zip(sys.argv[1::2], sys.argv[2::2]):
        with open(target, "w") as file:
            json.dump(read(path), file)


main()
