# SPDX-License-Identifier: Apache-2.0
"""What 500 jobs cost that a coordinator tracks in an engine: requests to the API server (at most 10 a second) or to
slurmctld, and memory (at most 150 MB). All of it is of the steady state: every job was launched, every job has its
worker, nothing begins or ends; then a minute and a half is looked at.

  ANAMNESIS_SOURCE_DIR=. ANAMNESIS_BIN_DIR=build/release/bin python3 tests/bench/tracked_jobs_bench.py
      [--engine slurm|kubernetes|all] [--jobs 500] [--seconds 90]

  Requests to the API server: those of the coordinator's service account, one for each line of its audit log.
  Requests to slurmctld: what it has counted by kind (sdiag), without the kinds that its own daemons send. A squeue is
    two of them, for jobs and for partitions.
  Memory: VmRSS of the coordinator and of its children, the largest of one look a second.
The jobs' workers are sessions of one process (crowd.py): each has its own connection and its job's token, sends its
heartbeats and a step every ten seconds. On Kubernetes the pods run on KWOK's node. In Slurm 32 batch jobs run and the
others wait in its queue, since one machine cannot hold the processes of 500. Needs tools/bootstrap --tests."""

import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import figures as bench
import kube_support
import launch_bench
import run_support
import service_support as support
import slurm_support

REQUESTS_LIMIT = 10
MEMORY_LIMIT_MB = 150
NAMESPACE = "tracked"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
DAEMONS_OWN = {"MESSAGE_NODE_REGISTRATION_STATUS", "MESSAGE_EPILOG_COMPLETE", "REQUEST_PING", "REQUEST_COMPLETE_PROLOG",
               "REQUEST_COMPLETE_BATCH_SCRIPT", "REQUEST_STEP_COMPLETE", "REQUEST_STATS_INFO"}


class Crowd:
    """The workers of all jobs."""

    def __init__(self, service):
        stubs = service.root / "stubs"
        run_support.write_python_stubs(stubs)
        self.process = subprocess.Popen(
            [run_support.SOURCE / "tools/oracle", pathlib.Path(__file__).parent / "crowd.py", stubs,
             service.note()["worker_address"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.came = set()
        self.seen = {"attached": 0, "lost": 0, "acknowledged": 0}
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.seen = json.loads(line)

    def come(self, tokens):
        """A worker for each attempt that has none yet; tokens: by job's number and epoch."""
        for (job, epoch), token in tokens.items():
            if (job, epoch) not in self.came:
                self.came.add((job, epoch))
                self.process.stdin.write(f"{job} {epoch} {token}\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdin.close()
        self.process.stdout.close()


def family(pid):
    return [pid, *(below for child in support.children_of(pid) for below in family(child))]


def memory_mb(pid):
    total = 0
    for one in family(pid):
        try:
            total += support.memory_kib(one)
        except (OSError, StopIteration):  # it has just ended
            pass
    return total * 1024 / 1e6


def processor_seconds(pid):
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")  # with the children that have ended


def launch(service, crowd, tokens, count):
    """Submits the jobs, and has a worker come for each attempt as soon as it is launched."""
    for number in range(1, count + 1):
        service.cli("submit", "--task", "pretrain_llm", service.root / "tracked.yaml", "--set",
                    f"training.output_dir={service.root}/out-{number}", check=True)
        if number % 20 == 0:
            crowd.come(tokens())

    def all_attached():
        crowd.come(tokens())
        time.sleep(1)  # a look at every token takes its time
        return crowd.seen["attached"] == count
    support.wait_until(all_attached, f"a worker for each of {count} jobs", 300)


def track(figures, given, engine, service, tokens, count):
    """Launches the jobs, waits for the steady state and measures it. tokens: of the attempts launched so far; count:
    what the engine has counted so far, by kind."""
    crowd = Crowd(service)
    try:
        begin = time.monotonic()
        launch(service, crowd, tokens, given.jobs)
        launched = time.monotonic() - begin
        time.sleep(10)  # the last launches' changes are told
        pid = service.process.pid
        print(f"{engine}: launched in {launched:.0f} s: {count()}", flush=True)
        before, spent, lost, begin = count(), processor_seconds(pid), crowd.seen["lost"], time.monotonic()
        acknowledged, largest = crowd.seen["acknowledged"], 0
        while time.monotonic() < begin + given.seconds:
            largest = max(largest, memory_mb(pid))
            time.sleep(1)
        seconds = time.monotonic() - begin
        after, spent = count(), processor_seconds(pid) - spent
        acknowledged = (crowd.seen["acknowledged"] - acknowledged) / seconds
        kinds = {kind: after[kind] - before.get(kind, 0) for kind in after if after[kind] > before.get(kind, 0)}
        jobs = json.loads(service.cli("list", "-o", "json", check=True).stdout)["jobs"]
        again = sum(len(job["attempts"]) > 1 for job in jobs)
        print(f"{engine}: in {seconds:.0f} s {kinds}; {acknowledged:.0f} reports/s taken; "
              f"{crowd.seen['lost']} sessions lost, {again} jobs with more than one attempt", flush=True)
        assert crowd.seen["lost"] == lost and crowd.seen["attached"] == given.jobs, "a worker was lost meanwhile"
    finally:
        crowd.close()
    name = {"slurm": "Slurm", "kubernetes": "Kubernetes"}[engine]
    figures.add(f"{name}, {given.jobs} jobs: submitted, launched and attached within", launched, "s")
    figures.add(f"{name}, {given.jobs} jobs: attempts that were lost on the way", again, "", 0)
    limit = REQUESTS_LIMIT if engine == "kubernetes" else None
    figures.add(f"{name}, {given.jobs} jobs: requests", sum(kinds.values()) / seconds, "a second", limit)
    if engine == "slurm":
        figures.add(f"{name}, {given.jobs} jobs: squeue", kinds.get("REQUEST_JOB_INFO", 0) / seconds, "a second")
    figures.add(f"{name}, {given.jobs} jobs: memory of the coordinator", largest, "MB", MEMORY_LIMIT_MB)
    figures.add(f"{name}, {given.jobs} jobs: processor", 100 * spent / seconds, "% of a core")


def measure_slurm(figures, given):
    cluster = slurm_support.Slurm(cpus=16)
    service = slurm_support.SlurmService(cluster, slots=given.jobs, engine=())
    programs = support.BIN

    def tokens():
        found = {}
        for path in (service.data_dir / "jobs").glob("*/slurm-*.token"):
            found[path.parent.name, path.name.split("-")[1]] = path.read_text().strip()
        return found

    def count():
        kinds = cluster.ask("sdiag").split("by message type", 1)[1].split("by user", 1)[0]
        return {kind: int(number) for kind, number in re.findall(r"(\w+)\s*\(\s*\d+\) count:(\d+)", kinds)
                if kind not in DAEMONS_OWN}
    try:
        cluster.start()
        service.config("tracked")
        support.BIN = launch_bench.waiting_worker(service.root / "bin", programs)
        service.up()
        track(figures, given, "slurm", service, tokens, count)
    finally:
        support.BIN = programs
        service.close()
        cluster.close()


def measure_kubernetes(figures, given):
    cluster = kube_support.Cluster(audited=f"system:serviceaccount:{NAMESPACE}:coordinator")
    service = None

    def tokens():
        found = {}
        for secret in cluster.call("GET", f"{SECRETS}?labelSelector=anamnesis.dev/job")["items"]:
            labels = secret["metadata"]["labels"]
            found[labels["anamnesis.dev/job"], labels["anamnesis.dev/epoch"]] = base64.b64decode(
                secret["data"]["token"]).decode()
        return found

    def count():
        kinds = {}
        for verb, path in cluster.audited_requests():
            kind = f"{verb} {path.split('?')[0].split('/namespaces/')[1].split('/')[1]}"
            kinds[kind] = kinds.get(kind, 0) + 1
        return kinds
    try:
        cluster.start()
        cluster.start_kwok(launch_bench.STAGES)
        cluster.home_of_coordinator(NAMESPACE)
        cluster.node("node-0")
        service = kube_support.KubeService(cluster, NAMESPACE, slots=given.jobs, gpus_per_rank=0)
        service.config("tracked")
        service.up()
        track(figures, given, "kubernetes", service, tokens, count)
    finally:
        if service:
            service.close()
        cluster.close()


if __name__ == "__main__":
    sys.exit(bench.measure(__doc__, {"slurm": measure_slurm, "kubernetes": measure_kubernetes},
                           [("--jobs", 500, "that are tracked"), ("--seconds", 90, "of the steady state")]))
