# SPDX-License-Identifier: Apache-2.0
"""From the loss of a node to the first new step of its gang, with the parts of that time, as medians.

  ANAMNESIS_SOURCE_DIR=. ANAMNESIS_BIN_DIR=build/release/bin python3 tests/bench/node_loss_bench.py
      [--engine slurm|kubernetes|all] [--runs 3]

A gang of 2 x 2 ranks trains on two of three nodes of a real engine; then one of the two is killed with everything on it, and
the third takes its place. The parts are the job's own transitions:
  noticed:  until the coordinator gives the attempt up (a lease of 6 s, or the engine's word, whichever is first)
  placed:   until the next attempt is handed to the engine: when what is left of the one before is known to be gone
  data:     until its workers have come (the engine's own launch) and the data is ready
  step:     until the gang has met, has loaded its checkpoint and has made a step
Slurm misses a node by SlurmdTimeout, which the tests' cluster sets to 10 s, Kubernetes by the removal of the node object, which
comes with the loss here as from a cloud's node controller. No limit is set: the figure is there to be watched."""

import sys
import time

import figures as bench  # finds the modules of the tests
import fake_kubelet
import kube_support
import service_support as support
import slurm_support

NAMESPACE = "lost"
GANG = ("--ranks", 4)
# More steps than are made before the bench is through, so that no run ends before its node does.
ENDLESS = ("--set", "training.epochs=1000", "--set", "training.save_steps=5")


def seconds_to_step(service, job, begin):
    """The parts, and their sum, once the attempt after the loss has made a step."""
    def stepped():
        found = service.get(job)
        ways = [(support.seconds_of(one["time"]), one["from"], one["to"]) for one in found["transitions"]]
        return [one for one in ways if one[0] > begin and one[2] == "running"] and ways
    ways = [one for one in support.wait_until(stepped, "the gang goes on", 180) if one[0] > begin]
    at = {}
    for when, _, state in ways:
        at.setdefault(state, when)
    noticed = ways[0][0]
    moments = [begin, noticed, at["preparing"], at["starting"], at["running"]]
    parts = [after - before for before, after in zip(moments, moments[1:])]
    return [*parts, moments[-1] - begin]


def train(service, run):
    job = service.submit(f"lost-{run}", *GANG, *ENDLESS)
    service.wait_for_step(job, 12, 240)
    return job


def lose_in_slurm(run):
    cluster = slurm_support.Slurm(nodes=3)
    service = slurm_support.SlurmService(cluster)
    try:
        cluster.start()
        service.synth()
        service.up()
        job = train(service, run)
        names = cluster.jobs()[service.slurm_job(job)]["NodeList"]
        node = cluster.ask("scontrol", "show", "hostnames", names).split()[1]
        begin = time.time()
        cluster.lose_node(node)
        return seconds_to_step(service, job, begin)
    finally:
        service.close()
        cluster.close()


def measure_slurm(figures, given):
    report(figures, "Slurm", [lose_in_slurm(run) for run in range(given.runs)])


def measure_kubernetes(figures, given):
    cluster = kube_support.Cluster()
    kubelets = {}
    service = None
    runs = []
    try:
        cluster.start()
        cluster.home_of_coordinator(NAMESPACE)
        service = kube_support.KubeService(cluster, NAMESPACE)
        service.synth()
        service.up()
        for number in range(2):
            kubelets[number] = fake_kubelet.FakeKubelet(cluster, f"node-{number}", gpus=2)
        for run in range(given.runs):
            job = train(service, run)
            spare = run + 2
            kubelets[spare] = fake_kubelet.FakeKubelet(cluster, f"node-{spare}", gpus=2)
            lost = kubelets.pop(run)
            begin = time.time()
            lost.stop()
            lost.kill_all()
            cluster.delete(f"/api/v1/nodes/node-{run}")
            runs.append(seconds_to_step(service, job, begin))
            service.cli("cancel", job, "--grace", "0s", check=True)
            service.wait(job)
    finally:
        for kubelet in kubelets.values():
            kubelet.close()
        if service:
            service.close()
        cluster.close()
    report(figures, "Kubernetes", runs)


def report(figures, engine, runs):
    for run in runs:
        print(engine, " ".join(f"{part:.1f}" for part in run), flush=True)
    for at, what in enumerate(("noticed", "placed", "data", "step", "from the loss to the new step")):
        figures.add_median(f"{engine}: {what}", [run[at] for run in runs])


if __name__ == "__main__":
    sys.exit(bench.measure(__doc__, {"slurm": measure_slurm, "kubernetes": measure_kubernetes},
                           [("--runs", 3, "of each engine")]))
