# SPDX-License-Identifier: Apache-2.0
"""What the coordinator adds to an engine's own launch: at most one second, as medians of runs of which every other
one is the engine's alone.

  ANAMNESIS_BIN_DIR=build/release/bin python3 tests/bench/launch_bench.py [--engine slurm|kubernetes|all] [--runs 15]

Ours begins with admission, when the coordinator has taken the `submit` (create_time). It ends as the peer does.
  Slurm: the peer begins when `sbatch` is started with a script that is one `srun` of one task, with the words of our
    own script. Both end when that task runs: the first thing that its program does is to write down the time. What
    Slurm itself says (StartTime - SubmitTime) has whole seconds and is shown beside it.
  Kubernetes: the peer begins when a Job of one pod is posted to the API server. Both end when a watch tells that the
    pod runs (by KWOK, which takes no time of its own for it); when it was bound to a node is shown beside it.
The worker is a program that waits: what comes after the start is measured by node_loss_bench.py."""

import json
import pathlib
import shutil
import statistics
import sys
import threading
import time

import figures as bench
import kube_support
import service_support as support
import slurm_support

LIMIT_S = 1
STAGES = pathlib.Path(kube_support.__file__).parent / "kwok_stages.yaml"


# --- Slurm


def waiting_worker(folder, programs):
    """The programs with a worker that writes down when it started, under the number of its Slurm job, and waits."""
    folder.mkdir()
    for program in ("anamnesis", "anamnesis-coordinator"):
        shutil.copy(programs / program, folder)
    worker = folder / "anamnesis-worker"
    worker.write_text(f"#!/bin/sh\ndate +%s.%N > {folder}/$SLURM_JOB_ID\nexec sleep 1000\n")
    worker.chmod(0o755)
    return folder


def started(folder, number):
    """When the worker of that Slurm job ran its first command."""
    path = folder / str(number)
    text = support.wait_until(lambda: path.exists() and path.read_text(), f"Slurm starts {number}")
    return float(text)


def slurm_alone(cluster, folder):
    script = folder / "alone.sh"
    script.write_text("#!/bin/sh\nexec srun --export=ALL --kill-on-bad-exit=0 --wait=60 --nodes=1 --ntasks=1 "
                      "--ntasks-per-node=1 --cpus-per-task=1 \\\n"
                      f"  sh -c 'exec \"$@\" --node \"$SLURM_PROCID\"' worker {folder}/anamnesis-worker\n")
    begin = time.time()
    number = int(cluster.ask("sbatch", "--parsable", "--no-requeue", "--export=NONE", "--nodes=1", "--ntasks=1",
                             "--ntasks-per-node=1", "--cpus-per-task=1", "--output=/dev/null", script))
    return number, started(folder, number) - begin


def slurm_ours(service, folder):
    job = service.submit("launch")
    number = support.wait_until(lambda: service.slurm_job(job), "it is submitted to Slurm")
    return number, started(folder, number) - support.seconds_of(service.get(job)["create_time"])


def slurm_says(cluster, number):
    fields = cluster.jobs()[number]
    return support.seconds_of(fields["StartTime"]) - support.seconds_of(fields["SubmitTime"])


def end_slurm(cluster, number):
    cluster.ask("scancel", number)
    support.wait_until(lambda: slurm_support.ended(cluster.jobs()[number]), "Slurm has ended it")


def measure_slurm(figures, given):
    cluster = slurm_support.Slurm()
    service = slurm_support.SlurmService(cluster)
    programs = support.BIN
    alone, ours, alone_says, ours_says = [], [], [], []
    try:
        cluster.start()
        service.config("launch")
        folder = support.BIN = waiting_worker(service.root / "bin", programs)
        service.up()
        for run in range(given.runs + 1):
            for times, says, one in ((alone, alone_says, lambda: slurm_alone(cluster, folder)),
                                     (ours, ours_says, lambda: slurm_ours(service, folder))):
                number, seconds = one()
                print(f"slurm {run}: {'alone' if times is alone else 'ours '} {seconds:.3f} s", flush=True)
                if run > 0:  # the first one finds nothing in any cache
                    times.append(seconds)
                    says.append(slurm_says(cluster, number))
                end_slurm(cluster, number)
            service.wait("jobs/%d" % (run + 1))
    finally:
        support.BIN = programs
        service.close()
        cluster.close()
    report(figures, "Slurm, to the running task", alone, ours)
    figures.add_median("Slurm's own word (whole seconds): sbatch alone", alone_says)
    figures.add_median("Slurm's own word (whole seconds): ours", ours_says)


# --- Kubernetes

NAMESPACE = "launch"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


class Pods:
    """When the pods of each Job were bound, and ran: as a watch told it."""

    def __init__(self, cluster):
        self.bound, self.running = {}, {}
        self.changes = cluster.changes(PODS)
        self.thread = threading.Thread(target=self._read, daemon=True)  # the API server's end is its end
        self.thread.start()

    def _read(self):
        try:
            for _, pod in self.changes:
                now = time.time()
                name = pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name")
                if pod["spec"].get("nodeName"):
                    self.bound.setdefault(name, now)
                if pod["status"].get("phase") == "Running":
                    self.running.setdefault(name, now)
        except OSError:
            pass

    def wait_for(self, name, begin):
        """Seconds from `begin` until it was bound, and until it ran."""
        support.wait_until(lambda: name in self.running, f"{name} runs")
        return self.bound[name] - begin, self.running[name] - begin


def kubernetes_alone(cluster, pods, name):
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    job = {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "worker", "image": "anamnesis/worker:test", "command": ["sleep", "1000"],
                        "securityContext": security, "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}}}}
    begin = time.time()
    cluster.create(JOBS, job)
    times = pods.wait_for(name, begin)
    cluster.delete(f"{JOBS}/{name}", propagationPolicy="Foreground")
    return times


def kubernetes_ours(cluster, service, pods):
    job = service.submit("launch")
    name = support.wait_until(lambda: service.get(job)["attempts"][0]["engine_object"], "its Job is made").split("/")[1]
    times = pods.wait_for(name, support.seconds_of(service.get(job)["create_time"]))
    service.cli("cancel", job, "--grace", "0s", check=True)
    service.wait(job)
    return times


def measure_kubernetes(figures, given):
    cluster = kube_support.Cluster()
    service = None
    alone, ours = [], []
    try:
        cluster.start()
        cluster.start_kwok(STAGES)
        cluster.home_of_coordinator(NAMESPACE)
        cluster.node("gpu-0")
        pods = Pods(cluster)
        service = kube_support.KubeService(cluster, NAMESPACE)
        service.config("launch")
        service.up()
        for run in range(given.runs + 1):
            for times, one in ((alone, lambda: kubernetes_alone(cluster, pods, f"alone-{run}")),
                               (ours, lambda: kubernetes_ours(cluster, service, pods))):
                bound, running = one()
                print(f"kubernetes {run}: {'alone' if times is alone else 'ours '} {running:.3f} s", flush=True)
                support.wait_until(lambda: not cluster.call("GET", PODS)["items"], "no pod is left")
                if run > 0:
                    times.append((bound, running))
    finally:
        if service:
            service.close()
        cluster.close()
    for at, what in enumerate(("Kubernetes, to the bound pod", "Kubernetes, to the running pod")):
        report(figures, what, [times[at] for times in alone], [times[at] for times in ours])


def report(figures, what, alone, ours):
    figures.add_median(f"{what}: the engine alone", alone)
    figures.add_median(f"{what}: ours", ours)
    added = statistics.median(ours) - statistics.median(alone)
    figures.add(f"{what}: ours over the engine's own", added, "s", LIMIT_S)


if __name__ == "__main__":
    sys.exit(bench.measure(__doc__, {"slurm": measure_slurm, "kubernetes": measure_kubernetes},
                           [("--runs", 15, "of each of the two, after one that does not count")]))
