# SPDX-License-Identifier: Apache-2.0
"""Reads the scalars of a run with TensorBoard's own EventAccumulator: DIR OUT.json"""
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1])
events.Reload()
scalars = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
with open(sys.argv[2], "w") as out:
    json.dump(scalars, out)
