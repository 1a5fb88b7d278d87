# SPDX-License-Identifier: Apache-2.0
"""Reads a run's events with TensorBoard's own EventAccumulator: tools/oracle read_events.py DIR OUT.json"""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1])
events.Reload()
tags = events.Tags()
out = {"scalars": {tag: [[e.step, str(e.value)] for e in events.Scalars(tag)] for tag in tags["scalars"]},
       "texts": {}}
for tag in tags["tensors"]:
    assert events.SummaryMetadata(tag).plugin_data.plugin_name == "text", tag
    out["texts"][tag] = [[e.step, e.tensor_proto.string_val[0].decode()] for e in events.Tensors(tag)]
with open(sys.argv[2], "w") as file:
    json.dump(out, file)
