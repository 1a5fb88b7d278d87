# SPDX-License-Identifier: Apache-2.0
"""A coordinator with the launcher of Kubernetes on a real API server, whose two nodes start the pods' real processes: a
gang trains to the bits of a local run, loses a pod, is cancelled, outlives both the coordinator and the API server."""

import itertools
import os
import time
import unittest

import fake_kubelet
import kube_support
import service_support as support

LONG = os.environ.get("ANAMNESIS_KUBERNETES") == "long"
NAMESPACE = "train"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"


cluster = None
kubelets = {}
local_digests = []
numbers = itertools.count(1)


def setUpModule():
    global cluster
    cluster = kube_support.Cluster()
    unittest.addModuleCleanup(cluster.close)
    unittest.addModuleCleanup(lambda: [kubelet.close() for kubelet in kubelets.values()])
    cluster.start()
    cluster.home_of_coordinator(NAMESPACE)
    for name in ("node-0", "node-1"):
        kubelets[name] = fake_kubelet.FakeKubelet(cluster, name, gpus=2)


class KubernetesGangTest(unittest.TestCase):
    def setUp(self):
        self.service = kube_support.KubeService(cluster, NAMESPACE, name=f"test-{next(numbers)}")
        self.addCleanup(self.service.close)
        self.addCleanup(self.clear)

    def clear(self):
        """Whatever the test left in the cluster."""
        self.service.stop()
        cluster.delete(JOBS, propagationPolicy="Background")
        cluster.call("DELETE", PODS, {"gracePeriodSeconds": 0})
        support.wait_until(lambda: not self.pods(), "no pod is left")

    def local_sha256(self):
        """Of the same training by the local launcher."""
        if not local_digests:
            local = support.Service(slots=2)
            self.addCleanup(local.close)
            local.up()
            found = local.wait(local.submit("local", "--ranks", 2))
            local.stop()
            self.assertEqual(found["state"], "succeeded", found["message"])
            local_digests.append(found["final_sha256"])
        return local_digests[0]

    def pods(self):
        return cluster.call("GET", PODS)["items"]

    def nothing_is_left(self):
        support.wait_until(lambda: not self.pods() and not cluster.call("GET", JOBS)["items"], "nothing is left")

    def test_gang_of_two_pods_trains_the_adapter_of_a_local_run(self):
        self.service.up()
        job = self.service.submit("gang", "--ranks", 4)
        self.service.wait_for_step(job, 5, 240)
        self.assertEqual(sorted(pod["spec"]["nodeName"] for pod in self.pods()), ["node-0", "node-1"])
        owner = cluster.call("GET", JOBS)["items"][0]["metadata"]["ownerReferences"][0]
        self.assertEqual((owner["kind"], owner["name"]), ("ConfigMap", "coordinator"))
        found = self.service.wait(job)
        self.assertEqual((found["state"], len(found["attempts"])), ("succeeded", 1), found["message"])
        self.nothing_is_left()
        self.assertEqual(found["final_sha256"], self.local_sha256())

    def test_restarts_of_coordinator_and_api_server_cost_the_training_nothing(self):
        self.service.up()
        job = self.service.submit("restarts", "--ranks", 4)
        self.service.wait_for_step(job, 5, 240)
        self.service.kill()
        cluster.kill("kube-apiserver")
        cluster.start_apiserver()
        self.service.up()
        found = self.service.wait(job)
        self.assertEqual((found["state"], len(found["attempts"])), ("succeeded", 1), found["message"])
        self.assertEqual(found["final_sha256"], self.local_sha256())
        self.nothing_is_left()

    def test_evicted_pod_costs_an_attempt_and_not_the_job(self):
        self.service.up()
        job = self.service.submit("evicted", "--ranks", 4)
        self.service.wait_for_step(job, 25, 240)
        name = self.pods()[-1]["metadata"]["name"]
        cluster.create(f"{PODS}/{name}/eviction", {
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}})
        found = self.service.wait(job)
        self.assertEqual((found["state"], found["final_sha256"]), ("succeeded", self.local_sha256()), found["message"])
        self.assertGreaterEqual(len(found["attempts"]), 2)
        self.nothing_is_left()

    def test_cancel_saves_and_leaves_nothing(self):
        self.service.up()
        job = self.service.submit("cancelled", "--ranks", 4)
        self.service.wait_for_step(job, 25, 240)
        self.service.cli("cancel", job, check=True)
        found = self.service.wait(job)
        self.assertEqual(found["state"], "cancelled", found["message"])
        self.assertGreaterEqual(self.service.checkpoints(job)[0]["step"], 25)
        self.nothing_is_left()

    @unittest.skipUnless(LONG, "long form")
    def test_lost_node_is_replaced(self):
        self.service.up()
        job = self.service.submit("lost", "--ranks", 4)
        self.service.wait_for_step(job, 25, 240)
        lost = kubelets.pop("node-1")
        lost.stop()
        lost.kill_all()
        begin = time.monotonic()
        kubelets["node-2"] = fake_kubelet.FakeKubelet(cluster, "node-2", gpus=2)
        cluster.delete("/api/v1/nodes/node-1")  # as its cloud does: the machine is no more
        support.wait_until(lambda: len(self.service.get(job)["attempts"]) > 1, "a new attempt")
        placed = time.monotonic() - begin
        step = self.service.get(job)["progress"]["step"]
        self.service.wait_for_step(job, step + 1, 240)
        print(f"node lost: {placed:.1f} s to the next attempt, {time.monotonic() - begin:.1f} s to its first new step")
        found = self.service.wait(job)
        self.assertEqual((found["state"], found["final_sha256"]), ("succeeded", self.local_sha256()), found["message"])
        self.nothing_is_left()


if __name__ == "__main__":
    unittest.main()
