# SPDX-License-Identifier: Apache-2.0
"""What the tests of the service share: a coordinator of the real programs in a folder of its own, jobs on a small
synthetic cohort, and the processes that a job is made of. Standard library only."""

import datetime
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

BIN = pathlib.Path(os.environ["ANAMNESIS_BIN_DIR"])
TERMINAL = {"succeeded", "failed", "cancelled", "expired", "rejected"}

CONFIG = """
model:
  model_name: {data}/base
  max_length: 64
data:
  data_dir: {data}
  vocab_filepath: {data}/vocab.csv
  labels_filepath: {data}/labels.csv
  medical_lookup_filepath: {data}/medical_lookup.csv
  lab_lookup_filepath: {data}/lab_lookup.csv
  cutoff_months: 1
lora:
  r: 4
  lora_alpha: 8
  lora_dropout: 0.1
  target_modules: all-linear
training:
  output_dir: {output}
  overwrite_output_dir: true
  framework: peft
  epochs: 1
  batch_size: 2
  learning_rate: 1e-3
  weight_decay: 0.01
  gradient_accumulation_steps: 2
  gradient_checkpointing: false
  load_in_4bit: false
  fp16: false
  bf16: false
  warmup_steps: 2
  logging_steps: 10
  eval_steps: 100000
  save_steps: 20
wandb:
  enabled: false
"""


def wait_until(condition, what, seconds=60):
    """The condition's first true value. Looks again and again, as nothing tells of other processes' progress."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def children_of(pid):
    """The processes that `pid` has started and that still run."""
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def program_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rsplit("/", 1)[-1]
    except OSError:
        return ""


def start_of(pid):
    """When a process began, in seconds since 1970; exact to 0.01 s."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + int(words[19]) / os.sysconf("SC_CLK_TCK")


def memory_kib(pid):
    """What a process has in memory."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


class Service:
    """A coordinator and its folder."""

    def __init__(self, slots=2):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="anamnesis-service-"))
        self.data_dir = self.root / "state"
        self.slots = slots
        self.process = None
        self.environment = dict(os.environ, ANAMNESIS_DATA_DIR=str(self.data_dir), HOME=str(self.root),
                                XDG_CONFIG_HOME=str(self.root / "config"), NO_COLOR="1")

    def up(self, *options, wait=True):
        with open(self.root / "up.log", "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "anamnesis-coordinator", "--slots", str(self.slots), *map(str, options)], env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if wait:
            wait_until(lambda: self.answers() or self.process.poll() is not None, "the coordinator answers")
            if self.process.poll() is not None:
                raise AssertionError((self.root / "up.log").read_text())

    def answers(self):
        return self.cli("list").returncode == 0

    def kill(self):
        """kill -9 of the coordinator alone."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends the coordinator and every worker, whatever their state."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes() + (path.parent / "environ").read_bytes()
            except OSError:
                continue
            if str(self.root).encode() in words:
                try:
                    os.kill(int(path.parent.name), signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def close(self):
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def cli(self, *words, check=False, timeout=60):
        done = subprocess.run([BIN / "anamnesis", *map(str, words)], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, cwd=self.root)
        if check and done.returncode != 0:
            raise AssertionError(f"{words}: exit {done.returncode}: {done.stderr}")
        return done

    def start(self, *words):
        """A command of the CLI in the background."""
        return subprocess.Popen([BIN / "anamnesis", *map(str, words)], env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.root)

    def note(self):
        """What the coordinator says of itself: pid, addresses."""
        return json.loads((self.data_dir / "coordinator.json").read_text())

    def synth(self, subjects=120):
        data = self.root / "cohort"
        if not data.exists():
            self.cli("synth", "--out", data, "--subjects", subjects, check=True)
        return data

    def config(self, name):
        path = self.root / f"{name}.yaml"
        path.write_text(CONFIG.format(data=self.synth(), output=self.root / name))
        return path

    def submit(self, name, *options):
        """Submits the configuration of that name and returns the job's name."""
        done = self.cli("submit", "--task", "pretrain_llm", self.config(name), *options, check=True)
        return done.stdout.strip()

    def get(self, job):
        return json.loads(self.cli("get", job, "-o", "json", check=True).stdout)

    def wait_for_state(self, job, state, seconds=60):
        def reached():
            found = self.get(job)
            if found["state"] != state and found["state"] in TERMINAL:
                raise AssertionError(f"{job} is {found['state']}, not {state}: {found['message']}")
            return found if found["state"] == state else None
        return wait_until(reached, f"{job} is {state}", seconds)

    def wait_for_step(self, job, step, seconds=120):
        def reached():
            found = self.get(job)
            if found["state"] in TERMINAL and found["progress"]["step"] < step:
                raise AssertionError(f"{job} ended before step {step}: {found['state']} {found['message']}")
            return found if found["progress"]["step"] >= step else None
        return wait_until(reached, f"{job} reaches step {step}", seconds)

    def wait(self, job, timeout=240):
        self.cli("wait", job, "--timeout", f"{timeout}s", timeout=timeout + 10)
        return self.get(job)

    def worker_of(self, job):
        """The pid of the job's worker; 0 while none runs."""
        found = self.get(job)
        pid = found["attempts"][-1]["worker_pid"] if found["attempts"] else 0
        return pid if program_of(pid) == "anamnesis-worker" else 0

    def ranks_of(self, job):
        return [pid for pid in children_of(self.worker_of(job)) if program_of(pid) == "anamnesis-rank"]

    def checkpoints(self, job):
        """The checkpoints that were committed, the newest first."""
        return json.loads(self.cli("checkpoint", "list", job, "-o", "json", check=True).stdout)["checkpoints"]

    def log(self, job):
        """What the job's workers wrote."""
        return (self.data_dir / "jobs" / job.removeprefix("jobs/") / "worker.log").read_text()

    def points(self, job):
        """Every metric point of the job."""
        lines = self.cli("metrics", job, "-o", "json", check=True).stdout.splitlines()
        return [json.loads(line) for line in lines]


def seconds_of(stamp):
    """An RFC 3339 time of the CLI as seconds since 1970."""
    return datetime.datetime.fromisoformat(stamp).timestamp()


def sha256_of(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def adapter_sha256(output):
    return sha256_of(pathlib.Path(output) / "final_model/adapter_model.safetensors")
