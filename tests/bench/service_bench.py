# SPDX-License-Identifier: Apache-2.0
"""Figures of the service, printed: durable submits a second, start and memory of the coordinator, time from the kill
of a rank to the next step, stall of a checkpoint.
  ANAMNESIS_BIN_DIR=build/release/bin python3 tests/bench/service_bench.py [SECONDS]
Needs `cmake --build build/release --target submit_bench slow_fsync`."""

import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import service_support as support  # noqa: E402

BENCH = support.BIN / "submit_bench"


def without_workers(folder):
    """The programs, with a worker that never comes: what is measured is the control plane."""
    folder.mkdir()
    shutil.copy(support.BIN / "anamnesis-coordinator", folder)
    worker = folder / "anamnesis-worker"
    worker.write_text("#!/bin/sh\nexec sleep 1000\n")
    worker.chmod(0o755)
    return folder


def submits(seconds, shim=None):
    service = support.Service(slots=1)
    config = service.config("bench")
    programs, support.BIN = support.BIN, without_workers(service.root / "bin")
    shutil.copy(programs / "anamnesis", support.BIN)
    if shim:
        service.environment["LD_PRELOAD"] = str(shim)
    try:
        service.up()
        service.environment.pop("LD_PRELOAD", None)
        for clients in (1, 64):
            print("  fsync of 5 ms: " if shim else "  ", end="", flush=True)
            subprocess.run([BENCH, f"unix:{service.data_dir}/s", config, str(clients), str(seconds)], check=True)
        print(f"  coordinator then: {support.memory_kib(service.process.pid) / 1024:.0f} MiB")
    finally:
        support.BIN = programs
        service.close()


def starts():
    times, sizes = [], []
    for _ in range(7):
        service = support.Service(slots=1)
        begin = time.monotonic()
        subprocess.run([support.BIN / "anamnesis-coordinator", "--slots", "1", "--detach"], env=service.environment,
                       check=True, capture_output=True)
        times.append(time.monotonic() - begin)
        sizes.append(support.memory_kib(service.note()["pid"]))
        service.close()
    print(f"  start: {1000 * statistics.median(times):.0f} ms (of {len(times)}), "
          f"RSS {statistics.median(sizes) / 1024:.0f} MiB")


def recovery():
    service = support.Service(slots=2)
    try:
        service.up("--metrics", "127.0.0.1:0")
        job = service.submit("recovery", "--ranks", 2, "--set", "training.epochs=6")
        gaps = []
        for number in range(5):
            def running():
                last = service.get(job)["attempts"][-1]
                return last["epoch"] == number + 1 and last["last_step"] > last["resumed_step"] + 20
            support.wait_until(running, "a stretch of steps")
            victim = service.ranks_of(job)[number % 2]
            killed = time.time()
            os.kill(victim, signal.SIGKILL)
            support.wait_until(lambda: [p for p in service.points(job) if p["epoch"] == number + 2], "the next step")
            first = min(support.seconds_of(p["time"]) for p in service.points(job) if p["epoch"] == number + 2)
            gaps.append(first - killed)
        print(f"  kill -9 of a rank to the next step: {statistics.median(gaps):.2f} s "
              f"({', '.join(f'{gap:.2f}' for gap in gaps)})")
        service.wait(job)
        text = urllib.request.urlopen(f"http://{service.note()['metrics_address']}/metrics").read().decode()
        value = lambda name: next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))
        print(f"  checkpoint stall: {1000 * value('anamnesis_checkpoint_write_seconds_sum') / value('anamnesis_checkpoint_write_seconds_count'):.0f} ms "
              f"a save ({value('anamnesis_checkpoint_write_seconds_count'):.0f} saves)")
    finally:
        service.close()


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    print("durable submits, YAML parsing and Apply included:")
    submits(seconds)
    submits(seconds, support.BIN / "libslow_fsync.so")
    print("coordinator:")
    starts()
    print("faults:")
    recovery()


if __name__ == "__main__":
    main()
