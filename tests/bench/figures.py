# SPDX-License-Identifier: Apache-2.0
"""What the benches of the engines share: figures with their limits, and the command line. Standard library only."""

import argparse
import pathlib
import signal
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import kube_support  # noqa: E402
import slurm_support  # noqa: E402

ENGINES = ("slurm", "kubernetes")


class Figures:
    """Lines of what was measured; a line may have a limit."""

    def __init__(self):
        self.lines = []
        self.right = True

    def add(self, what, value, unit, limit=None):
        line = f"{what:64} {value:8.2f} {unit:11}"
        if limit is not None:
            right = value <= limit
            self.right = self.right and right
            line += f" limit {limit:g}: {'holds' if right else 'DOES NOT HOLD'}"
        self.lines.append(line.rstrip())

    def add_median(self, what, values, unit="s", limit=None):
        self.add(what, statistics.median(values), unit, limit)
        self.lines[-1] += f"  ({len(values)} runs, {min(values):.2f} to {max(values):.2f})"

    def exit_code(self):
        print("\n".join(["", *self.lines]), flush=True)
        return 0 if self.right else 1


def absent(engine):
    """What this machine lacks of that engine; nothing if it is all there."""
    if engine == "slurm":
        return ", ".join(slurm_support.absent())
    return "" if kube_support.engines() else "etcd and what tools/bootstrap --tests builds of Kubernetes"


def measure(description, by_engine, options=()):
    """Measures the engines that the command line names; by_engine: functions of the figures and the options."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=(*ENGINES, "all"), default="all")
    for name, default, what in options:
        parser.add_argument(name, type=type(default), default=default, help=f"{what} (default: {default})")
    given = parser.parse_args()
    engines = ENGINES if given.engine == "all" else (given.engine,)
    for engine in engines:
        if absent(engine):
            sys.exit(f"{engine} is not on this machine: {absent(engine)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes down what was started
    figures = Figures()
    for engine in engines:
        by_engine[engine](figures, given)
    return figures.exit_code()
