# SPDX-License-Identifier: Apache-2.0
"""From the loss of a node to the next step of the gang that ran there, in its parts: medians of several losses of one
job.

  ANAMNESIS_BIN_DIR=build/release/bin python3 tests/bench/node_loss_bench.py [--engine slurm|kubernetes|all] [--runs 3]

A job of four real ranks trains on two of three nodes, with a tiny model. A loss kills everything that ran on the
second of its nodes, at once. Slurm's node is lost with its slurmd, and Slurm notices that itself (SlurmdTimeout, here
10 s; its default is 300 s). Kubernetes's node is said to be NotReady at once, which its controller would take 50 s
for. Parts:
  noticed     the loss until the coordinator gives the attempt up (the lease is 6 s)
  freed       until the engine has let go of what is left of it, and the next attempt is placed
  started     until its leading worker is a process: the engine's launch
  attached    until that worker has its session
  prepared    until data and indexes are there (they were made before)
  met         until the ranks have loaded the checkpoint and met
  stepped     until the first step is done
All times are the coordinator's own, of each change of the job, but those of processes, which the kernel tells. No limit
is set: most of it is the lease and what an engine takes to let go of a node."""

import json
import pathlib
import sys
import threading
import time

import figures as bench  # finds the modules of the tests
import fake_kubelet
import kube_support
import service_support as support
import slurm_support

PARTS = ("noticed", "freed", "started", "attached", "prepared", "met", "stepped")
NAMESPACE = "lost"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LONG_JOB = ("--ranks", 4, "--set", "training.epochs=1000", "--set", "training.save_steps=10")


class Changes:
    """Every change of a job as it came, and the process of the worker that leads."""

    def __init__(self, service, job):
        self.address = service.note()["worker_address"]
        self.number = job.removeprefix("jobs/")
        self.jobs = []
        self.process = service.start("watch", job, "-o", "json")
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.jobs.append(json.loads(line))

    def leader(self, epoch):
        """The pid of the worker that leads that epoch; None before the engine has started it."""
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            said = dict(zip(words, words[1:]))
            wanted = {"--coordinator": self.address, "--job": self.number, "--epoch": str(epoch), "--node": "0"}
            if words[0].endswith("anamnesis-worker") and wanted.items() <= said.items():
                return int(path.parent.name)
        return None

    def first(self, epoch, condition):
        """When a change first told so of that epoch, by its job and its attempt; None while none did."""
        for job in list(self.jobs):
            if len(job["attempts"]) >= epoch and condition(job, job["attempts"][epoch - 1]):
                return support.seconds_of(job["update_time"])
        return None

    def close(self):
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()
        self.process.stderr.close()


def lose(service, changes, kill):
    """Seconds of each part of one loss, by `kill`."""
    found = service.get("jobs/" + changes.number)
    epoch = found["attempts"][-1]["epoch"]
    service.wait_for_step("jobs/" + changes.number, found["attempts"][-1]["resumed_step"] + 15)
    lost = time.time()
    kill()
    support.wait_until(lambda: changes.first(epoch, lambda job, attempt: attempt["end_time"]), "the loss is noticed")
    end = changes.jobs[-1]["attempts"][epoch - 1]
    following = epoch + 1
    support.wait_until(lambda: changes.first(following, lambda job, attempt: True), "the next attempt is placed", 120)
    started = support.start_of(support.wait_until(lambda: changes.leader(following), "its worker is started", 120))
    stepped = support.wait_until(lambda: changes.first(following, lambda job, attempt: attempt["first_step"]),
                                 "the next step", 120)
    times = [lost, support.seconds_of(end["end_time"]),
             support.seconds_of(changes.jobs[-1]["attempts"][following - 1]["start_time"]), started,
             changes.first(following, lambda job, attempt: attempt["reason"] != "placed"),
             changes.first(following, lambda job, attempt: attempt["state"] in ("rendezvous", "running")),
             changes.first(following, lambda job, attempt: attempt["resumed_step"] or attempt["first_step"]), stepped]
    parts = [after - before for before, after in zip(times, times[1:])]
    attempt = changes.jobs[-1]["attempts"][following - 1]
    print(f"attempt {epoch} {end['state']} ({changes.jobs[-1]['attempts'][epoch - 1]['reason']}), resumed at step "
          f"{attempt['resumed_step']}: {stepped - lost:.2f} s: "
          + ", ".join(f"{name} {seconds:.2f}" for name, seconds in zip(PARTS, parts)), flush=True)
    return parts


def report(figures, engine, runs):
    for at, name in enumerate(PARTS):
        figures.add_median(f"{engine}, a lost node: {name}", [run[at] for run in runs])
    figures.add_median(f"{engine}, a lost node: from the loss to the next step", [sum(run) for run in runs])


# --- Slurm


def measure_slurm(figures, given):
    cluster = slurm_support.Slurm(nodes=3)
    service = slurm_support.SlurmService(cluster)
    changes, runs = None, []
    try:
        cluster.start()
        service.up()
        job = service.submit("lost", *LONG_JOB)
        changes = Changes(service, job)
        for _ in range(given.runs):
            support.wait_until(lambda: cluster.node_states().count("idle") + cluster.node_states().count("mixed") +
                               cluster.node_states().count("allocated") == 3, "all nodes are there")
            support.wait_until(lambda: service.get(job)["state"] == "running", "it trains")
            node = nodes_of(cluster, service.slurm_job(job))[1]
            runs.append(lose(service, changes, lambda: cluster.lose_node(node)))
            cluster.start_node(node)
    finally:
        if changes:
            changes.close()
        service.close()
        cluster.close()
    report(figures, "Slurm", runs)


def nodes_of(cluster, number):
    return cluster.ask("scontrol", "show", "hostnames", cluster.jobs()[number]["NodeList"]).split()


# --- Kubernetes


def lose_kubelet(cluster, kubelet):
    """The machine goes away, and the cluster is told."""
    kubelet.stop()
    kubelet.kill_all()
    cluster.patch(f"/api/v1/nodes/{kubelet.name}/status", {"status": {"conditions": [
        {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "the kubelet fell silent",
         "lastHeartbeatTime": fake_kubelet.now(), "lastTransitionTime": fake_kubelet.now()}]}})


def node_of_second(cluster):
    """Where the gang's second pod runs."""
    running = [pod for pod in cluster.call("GET", PODS)["items"] if pod["status"].get("phase") == "Running"]
    index = "batch.kubernetes.io/job-completion-index"
    return next(pod["spec"]["nodeName"] for pod in running if pod["metadata"]["annotations"][index] == "1")


def measure_kubernetes(figures, given):
    cluster = kube_support.Cluster()
    service, changes, kubelets, runs = None, None, {}, []
    try:
        cluster.start()
        cluster.home_of_coordinator(NAMESPACE)
        for number in range(3):
            kubelets[f"node-{number}"] = fake_kubelet.FakeKubelet(cluster, f"node-{number}", gpus=2)
        service = kube_support.KubeService(cluster, NAMESPACE)
        service.up()
        job = service.submit("lost", *LONG_JOB)
        changes = Changes(service, job)
        for _ in range(given.runs):
            support.wait_until(lambda: service.get(job)["state"] == "running", "it trains")
            name = node_of_second(cluster)
            runs.append(lose(service, changes, lambda: lose_kubelet(cluster, kubelets.pop(name))))
            cluster.delete(f"/api/v1/nodes/{name}")  # it comes back as a new one
            kubelets[name] = fake_kubelet.FakeKubelet(cluster, name, gpus=2)
    finally:
        if changes:
            changes.close()
        if service:
            service.close()
        for kubelet in kubelets.values():
            kubelet.close()
        cluster.close()
    report(figures, "Kubernetes", runs)


if __name__ == "__main__":
    sys.exit(bench.measure(__doc__, {"slurm": measure_slurm, "kubernetes": measure_kubernetes},
                           [("--runs", 3, "losses")]))
