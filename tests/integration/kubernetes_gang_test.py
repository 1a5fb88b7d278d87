# SPDX-License-Identifier: Apache-2.0
"""A coordinator with the launcher of Kubernetes on a real API server, whose two nodes start the pods' real processes: a
gang trains to the bits of a local run, loses a pod, is cancelled, outlives both the coordinator and the API server."""

import unittest

import fake_kubelet
import kube_support
import service_support as support

RULES = [
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list", "watch", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch", "deletecollection"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["create", "patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["coordinator"], "verbs": ["get"]},
]
NAMESPACE = "train"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"


class KubernetesGangTest(unittest.TestCase):
    def setUp(self):
        kube_support.require_engines()
        self.service = support.Service(slots=4)
        self.addCleanup(self.service.close)
        self.cluster = kube_support.Cluster()
        self.addCleanup(self.cluster.close)
        self.cluster.start()
        self.cluster.namespace(NAMESPACE)
        self.token_file = self.cluster.root / "token"
        self.token_file.write_text(self.cluster.service_account(NAMESPACE, "coordinator", RULES))
        self.cluster.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", {"metadata": {"name": "coordinator"}})
        self.claim()
        self.kubelets = []
        for name in ("node-0", "node-1"):
            self.kubelets.append(fake_kubelet.FakeKubelet(self.cluster, name, gpus=2))
            self.addCleanup(self.kubelets[-1].close)

    def claim(self):
        """The volume of the jobs: this machine's folder of the service."""
        size = {"storage": "1Gi"}
        self.cluster.create("/api/v1/persistentvolumes", {"metadata": {"name": "data"}, "spec": {
            "capacity": size, "accessModes": ["ReadWriteMany"], "hostPath": {"path": str(self.service.root)},
            "storageClassName": ""}})
        self.cluster.create(f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims", {
            "metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteMany"], "volumeName": "data",
                                                   "storageClassName": "", "resources": {"requests": size}}})

    def up(self):
        engine = {"api_server": self.cluster.server, "ca_file": self.cluster.ca_file, "token_file": self.token_file,
                  "namespace": NAMESPACE, "owner": "ConfigMap/coordinator", "image": "anamnesis/worker:test",
                  "worker": support.BIN / "anamnesis-worker", "gpus_per_rank": 1, "user": 1000, "group": 1000,
                  "grace": "20s", "mount": f"data:{self.service.root}"}
        words = [word for key, value in engine.items() for word in ("--engine", f"{key}={value}")]
        self.service.up("--launcher", "kubernetes", "--ranks-per-node", 2, "--interface", "lo", "--worker-listen",
                        "127.0.0.1:0", *words)

    def local_sha256(self):
        """Of the same training by the local launcher."""
        local = support.Service(slots=2)
        self.addCleanup(local.close)
        local.up()
        job = local.submit("local", "--ranks", 2)
        found = local.wait(job)
        local.stop()
        self.assertEqual(found["state"], "succeeded", found["message"])
        return found["final_sha256"]

    def pods(self):
        return self.cluster.call("GET", PODS)["items"]

    def test_gang_of_two_pods_trains_the_adapter_of_a_local_run(self):
        self.up()
        job = self.service.submit("gang", "--ranks", 4)
        self.service.wait_for_step(job, 5, 240)
        self.assertEqual(sorted(pod["spec"]["nodeName"] for pod in self.pods()), ["node-0", "node-1"])
        owner = self.cluster.call("GET", JOBS)["items"][0]["metadata"]["ownerReferences"][0]
        self.assertEqual((owner["kind"], owner["name"]), ("ConfigMap", "coordinator"))
        found = self.service.wait(job)
        self.assertEqual((found["state"], len(found["attempts"])), ("succeeded", 1), found["message"])
        support.wait_until(lambda: not self.pods() and not self.cluster.call("GET", JOBS)["items"], "nothing is left")
        self.assertEqual(found["final_sha256"], self.local_sha256())


if __name__ == "__main__":
    unittest.main()
