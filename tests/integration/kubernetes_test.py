# SPDX-License-Identifier: Apache-2.0
"""The launcher of Kubernetes against a real API server, controller manager and scheduler, with KWOK's nodes: what it
makes of launching, ending, eviction, preemption, quota, absent images, expired tokens and restarts of either side.
ANAMNESIS_KUBERNETES=long adds what takes minutes."""

import base64
import json
import os
import pathlib
import queue
import subprocess
import threading
import time
import unittest

import kube_support
from service_support import BIN, wait_until

LONG = os.environ.get("ANAMNESIS_KUBERNETES") == "long"
# What the chart's Role grants (deploy/helm/anamnesis/templates/rbac.yaml).
RULES = [
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch", "deletecollection"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["create", "patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
]

cluster = None


def setUpModule():
    global cluster
    cluster = kube_support.Cluster().start()
    cluster.start_kwok(pathlib.Path(__file__).parent / "kwok_stages.yaml")
    cluster.node("gpu-0")
    cluster.node("gpu-1")
    wait_until(lambda: all(is_ready(node) for node in cluster.call("GET", "/api/v1/nodes")["items"]), "nodes are ready")


def tearDownModule():
    if cluster is not None:
        cluster.close()


def is_ready(node):
    taints = node["spec"].get("taints", [])
    return not taints and any(condition["type"] == "Ready" and condition["status"] == "True"
                              for condition in node["status"].get("conditions", []))


class Probe:
    """The launcher in a process of its own."""

    def __init__(self, *options):
        self.process = subprocess.Popen([BIN / "kubernetes_probe", *options], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.queue = queue.Queue()
        self.seen = []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.queue.put(json.loads(line))

    def say(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def expect(self, event, seconds=30, **fields):
        """The next such event; others are passed over."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self.queue.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event} {fields} within {seconds} s; last: {self.seen[-5:]}") from None
            self.seen.append(found)
            if found["event"] == event and all(found.get(key) == value for key, value in fields.items()):
                return found

    def expect_waits(self, text, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            found = self.expect("waits", max(0.01, deadline - time.monotonic()))
            if text in found["message"]:
                return found

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdin.close()
        self.process.stdout.close()


class KubernetesTest(unittest.TestCase):
    def setUp(self):
        self.namespace = "test-" + self.id().rsplit("_", 1)[-1].lower()[:40]
        cluster.namespace(self.namespace)
        self.token_file = cluster.root / f"{self.namespace}.token"
        self.token_file.write_text(cluster.service_account(self.namespace, "coordinator", RULES))
        self.jobs = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        self.pods = f"/api/v1/namespaces/{self.namespace}/pods"
        self.probes = []

    def tearDown(self):
        for probe in self.probes:
            probe.kill()
        # Their GPUs are the next test's.
        cluster.delete(self.jobs, propagationPolicy="Background")
        cluster.call("DELETE", self.pods, {"gracePeriodSeconds": 0})
        wait_until(lambda: not self.list(self.pods), "no pod is left")

    def probe(self, *options, reconcile=()):
        probe = Probe(f"api_server={cluster.server}", f"ca_file={cluster.ca_file}", f"token_file={self.token_file}",
                      f"namespace={self.namespace}", "image=anamnesis/worker:test", "gpus_per_rank=1",
                      "cpu_per_rank=500m", "memory_per_rank=1Gi", "user=1000", "group=1000", "grace=5s", *options)
        self.probes.append(probe)
        probe.say("reconcile", *reconcile)
        return probe

    def list(self, path):
        return cluster.call("GET", path)["items"]

    def running_pods(self, count):
        def there():
            pods = [pod for pod in self.list(self.pods) if pod["status"].get("phase") == "Running"]
            return pods if len(pods) == count else None
        return wait_until(there, f"{count} pods run")

    def end_pod(self, pod, exit_code, reason="Error"):
        """As a kubelet would say that the container has ended."""
        name = pod["metadata"]["name"]
        cluster.patch(f"{self.pods}/{name}/status", {"status": {
            "phase": "Failed" if exit_code else "Succeeded",
            "containerStatuses": [{"name": "worker", "image": "x", "imageID": "", "ready": False, "restartCount": 0,
                                   "state": {"terminated": {"exitCode": exit_code, "reason": reason}}}]}})

    # --- a job's life

    def test_gang_is_launched_runs_and_ends(self):
        probe = self.probe()
        probe.say("launch", 17, 1, 2, 4)
        launched = probe.expect("launched", job=17, epoch=1)
        job = cluster.get(f"{self.jobs}/anamnesis-17-1")
        self.assertEqual(launched["handle"], f"kubernetes:{self.namespace}/anamnesis-17-1/{job['metadata']['uid']}")
        self.assertEqual((job["spec"]["completions"], job["spec"]["parallelism"]), (2, 2))
        pods = self.running_pods(2)  # PodSecurity let them in
        names = sorted(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in pods)
        self.assertEqual(names, ["0", "1"])
        container = pods[0]["spec"]["containers"][0]
        self.assertEqual(container["resources"]["limits"],
                         {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "2"})
        self.assertIn("coordinator:7800", container["command"])
        secret = cluster.get(f"/api/v1/namespaces/{self.namespace}/secrets/anamnesis-17-1")
        self.assertEqual(base64.b64decode(secret["data"]["token"]), b"token-of-17-1")
        self.assertNotIn("token-of", json.dumps(pods + [job]))
        for pod in pods:
            self.end_pod(pod, 0, "Completed")
        probe.expect("gone", job=17, epoch=1, reason="worker_lost")
        self.gone("anamnesis-17-1")

    def gone(self, name):
        """Job, Secret and Service of that name are removed, pods too."""
        base = f"/api/v1/namespaces/{self.namespace}"
        paths = [f"{self.jobs}/{name}", f"{base}/secrets/{name}", f"{base}/services/{name}"]
        wait_until(lambda: not any(cluster.get(path) for path in paths), f"nothing is left of {name}")


if __name__ == "__main__":
    unittest.main()
