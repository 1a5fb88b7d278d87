# SPDX-License-Identifier: Apache-2.0
"""The launcher of Kubernetes against a real API server, controller manager and scheduler, with KWOK's nodes: what it
makes of launching, ending, eviction, preemption, quota, absent images, expired tokens and restarts of either side.
ANAMNESIS_KUBERNETES=long adds what takes minutes."""

import base64
import hashlib
import itertools
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

STAGES = pathlib.Path(__file__).parent / "kwok_stages.yaml"
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
numbers = itertools.count(1)


def setUpModule():
    global cluster
    cluster = kube_support.Cluster()
    unittest.addModuleCleanup(cluster.close)
    cluster.start()
    cluster.start_kwok(STAGES)
    cluster.node("gpu-0")
    cluster.node("gpu-1")
    cluster.wait_until(lambda: all(map(is_ready, cluster.call("GET", "/api/v1/nodes")["items"])), "nodes are ready")


def name_of(job, epoch=1, token=None):
    """Of the objects of a launch by the probe."""
    token = token or f"token-of-{job}-{epoch}"
    return f"anamnesis-{job}-{epoch}-{hashlib.sha256(token.encode()).hexdigest()[:6]}"


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

    def expect(self, event, seconds=60, **fields):
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

    def expect_waits(self, text, seconds=60):
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
        self.namespace = f"test-{next(numbers)}"
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

    def probe(self, reconcile=(), repeated=(), **options):
        options = {"api_server": cluster.server, "ca_file": cluster.ca_file, "token_file": self.token_file,
                   "namespace": self.namespace, "image": "anamnesis/worker:test", "gpus_per_rank": 1,
                   "cpu_per_rank": "500m", "memory_per_rank": "1Gi", "user": 1000, "group": 1000, "grace": "5s",
                   **options}
        words = [f"{key}={value}" for key, value in options.items() if value is not None]
        probe = Probe(*words, *repeated)
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
        job = cluster.get(f"{self.jobs}/{name_of(17)}")
        self.assertEqual(launched["handle"], f"kubernetes:{self.namespace}/{name_of(17)}/{job['metadata']['uid']}")
        self.assertEqual((job["spec"]["completions"], job["spec"]["parallelism"]), (2, 2))
        pods = self.running_pods(2)  # PodSecurity let them in
        names = sorted(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in pods)
        self.assertEqual(names, ["0", "1"])
        container = pods[0]["spec"]["containers"][0]
        self.assertEqual(container["resources"]["limits"],
                         {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": "2"})
        self.assertIn("coordinator:7800", container["command"])
        secret = cluster.get(f"/api/v1/namespaces/{self.namespace}/secrets/{name_of(17)}")
        self.assertEqual(base64.b64decode(secret["data"]["token"]), b"token-of-17-1")
        self.assertNotIn("token-of", json.dumps(pods + [job]))
        for pod in pods:
            self.end_pod(pod, 0, "Completed")
        probe.expect("gone", job=17, epoch=1, reason="worker_lost")
        self.gone(name_of(17))

    def test_stop_lets_the_worker_save_and_removes_everything(self):
        probe = self.probe()
        probe.say("launch", 3, 1, 1, 1)
        probe.expect("launched")
        self.running_pods(1)
        probe.say("stop", 3)
        gone = probe.expect("gone", job=3, epoch=1)
        self.assertEqual((gone["reason"], gone["message"]),
                         ("worker_lost", "kubernetes: the Job was removed as asked"))
        self.gone(name_of(3))

    def test_stop_at_once_needs_no_node(self):
        cluster.node("dead", gpus=1, fake=False)
        cluster.patch("/api/v1/nodes/dead", {"metadata": {"labels": {"test/dead": "yes"}}, "spec": {"taints": None}})
        self.addCleanup(cluster.delete, "/api/v1/nodes/dead")
        probe = self.probe(node_selector="test/dead=yes", repeated=(
            "toleration=node.kubernetes.io/not-ready", "toleration=node.kubernetes.io/unreachable"))
        probe.say("launch", 4, 1, 1, 1)
        probe.expect("launched")
        pod = wait_until(lambda: next((pod for pod in self.list(self.pods) if pod["spec"].get("nodeName")), None),
                         "the pod is bound")
        cluster.patch(f"{self.pods}/{pod['metadata']['name']}/status", {"status": {"phase": "Running"}})
        probe.say("stop", 4)
        wait_until(lambda: self.list(self.pods)[0]["metadata"].get("deletionTimestamp"), "the pod is told to end")
        probe.say("stop", 4, "now")
        probe.expect("gone", job=4)
        self.gone(name_of(4))

    # --- what takes a gang's place away

    def lose(self, how, reason, text, **options):
        """A gang of two whose first pod is lost by `how`: told with that reason, and nothing is left."""
        probe = self.probe(**options)
        probe.say("launch", 5, 1, 2, 2)
        probe.expect("launched")
        how(self.running_pods(2)[0])
        gone = probe.expect("gone", job=5, reason=reason)
        self.assertIn(text, gone["message"])
        self.gone(name_of(5))

    def test_eviction_is_a_preemption(self):
        def evict(pod):
            name = pod["metadata"]["name"]
            cluster.create(f"{self.pods}/{name}/eviction", {
                "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": self.namespace}})
        self.lose(evict, "preempted", "EvictionByEvictionAPI")

    def test_deleted_pod_is_a_preemption(self):
        self.lose(lambda pod: cluster.delete(f"{self.pods}/{pod['metadata']['name']}"), "preempted", "was deleted")

    def test_memory_limit_is_named(self):
        self.lose(lambda pod: self.end_pod(pod, 137, "OOMKilled"), "out_of_memory", "raise memory_per_rank")

    def test_exit_code_is_named(self):
        self.lose(lambda pod: self.end_pod(pod, 75), "worker_lost", "exit code 75")

    def test_somebody_deletes_the_job(self):
        self.lose(lambda pod: cluster.delete(f"{self.jobs}/{name_of(5)}", propagationPolicy="Background"),
                  "engine_cancelled", "somebody deleted the Job")

    def test_time_limit_is_named(self):
        probe = self.probe(time_limit="3s")
        probe.say("launch", 5, 1, 1, 1)
        probe.expect("launched")
        self.assertIn("DeadlineExceeded", probe.expect("gone", job=5, reason="time_limit")["message"])
        self.gone(name_of(5))

    def test_higher_priority_preempts(self):
        for name, value in (("test-low", 10), ("test-high", 1000)):
            if not cluster.get(f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}"):
                cluster.create("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": name}, "value": value})
        low = self.probe(priority_class="test-low", name="low")
        low.say("launch", 1, 1, 2, 16)  # every GPU
        low.expect("launched")
        self.running_pods(2)
        high = self.probe(priority_class="test-high", name="high")
        high.say("launch", 2, 1, 1, 8)
        gone = low.expect("gone", job=1, reason="preempted")
        self.assertIn("PreemptionByScheduler", gone["message"])
        self.running_pods(1)

    # --- what is waited for

    def test_too_few_gpus_are_waited_for_in_the_schedulers_words(self):
        probe = self.probe()
        probe.say("launch", 6, 1, 1, 100)
        probe.expect("launched")
        probe.expect_waits("Insufficient nvidia.com/gpu")
        probe.expect_waits("Insufficient nvidia.com/gpu")  # again: it renews the coordinator's patience

    def test_pod_quota_is_waited_for(self):
        quotas = f"/api/v1/namespaces/{self.namespace}/resourcequotas"
        cluster.create(quotas, {"metadata": {"name": "gpus"}, "spec": {"hard": {"requests.nvidia.com/gpu": "1"}}})
        wait_until(lambda: cluster.get(f"{quotas}/gpus").get("status", {}).get("hard"), "the quota holds")
        probe = self.probe()
        probe.say("launch", 7, 1, 1, 2)
        probe.expect("launched")
        self.assertIn("gpus", probe.expect_waits("exceeded quota")["message"])
        cluster.patch(f"{quotas}/gpus", {"spec": {"hard": {"requests.nvidia.com/gpu": "4"}}})
        self.running_pods(1)

    def test_job_quota_sends_the_job_back_to_the_queue(self):
        quotas = f"/api/v1/namespaces/{self.namespace}/resourcequotas"
        cluster.create(quotas, {"metadata": {"name": "jobs"}, "spec": {"hard": {"count/jobs.batch": "0"}}})
        wait_until(lambda: cluster.get(f"{quotas}/jobs").get("status", {}).get("hard"), "the quota holds")
        probe = self.probe()
        probe.say("launch", 8, 1, 1, 1)
        failed = probe.expect("launch_failed", job=8, reason="engine_unreachable")
        self.assertIn("exceeded quota: jobs", failed["message"])
        cluster.delete(f"{quotas}/jobs")
        probe.expect("seen", reachable=True)
        probe.say("launch", 8, 2, 1, 1)
        probe.expect("launched", epoch=2)

    def test_kueue_admits_and_takes_back(self):
        """Kueue's part, by its contract: the label names the queue, `suspend` is its word."""
        probe = self.probe(queue="team-a")
        probe.say("launch", 9, 1, 1, 1)
        probe.expect("launched")
        probe.expect_waits("suspended until its queue admits it")
        job = cluster.get(f"{self.jobs}/{name_of(9)}")
        self.assertEqual(job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "team-a")
        cluster.patch(f"{self.jobs}/{name_of(9)}", {"spec": {"suspend": False}})
        self.running_pods(1)
        cluster.patch(f"{self.jobs}/{name_of(9)}", {"spec": {"suspend": True}})
        self.assertIn("Kueue", probe.expect("gone", job=9, reason="preempted")["message"])
        self.gone(name_of(9))

    # --- mistakes

    def test_absent_image_is_refused_after_a_patience(self):
        probe = self.probe(image="absent/worker:1", start_patience="5s")
        probe.say("launch", 10, 1, 1, 1)
        probe.expect("launched")
        probe.expect_waits("ImagePullBackOff")
        failed = probe.expect("launch_failed", job=10, reason="invalid_input")
        self.assertIn("manifest unknown", failed["message"])
        self.gone(name_of(10))

    def test_pod_that_the_policy_refuses_is_named(self):
        cluster.patch(f"/api/v1/namespaces/{self.namespace}", {"metadata": {"labels": {
            "pod-security.kubernetes.io/enforce": "privileged"}}})
        cluster.create(f"/api/v1/namespaces/{self.namespace}/limitranges", {"metadata": {"name": "small"}, "spec": {
            "limits": [{"type": "Pod", "max": {"memory": "100Mi"}}]}})
        probe = self.probe(start_patience="1s")
        probe.say("launch", 11, 1, 1, 1)
        failed = probe.expect("launch_failed", job=11, reason="invalid_input")
        self.assertIn("maximum memory usage per Pod is 100Mi", failed["message"])
        self.gone(name_of(11))

    def test_absent_namespace_is_named(self):
        probe = self.probe()
        probe.say("launch", 12, 1, 1, 1)
        probe.expect("launched")
        other = self.probe(namespace="no-such", token_file=self.admin_token())
        other.say("launch", 12, 1, 1, 1)
        failed = other.expect("launch_failed", job=12, reason="invalid_input")
        self.assertIn('namespaces "no-such" not found', failed["message"])

    def test_absent_permission_is_named(self):
        self.token_file.write_text(cluster.service_account(self.namespace, "nobody", RULES[1:]))
        probe = self.probe()
        probe.say("launch", 13, 1, 1, 1)
        failed = probe.expect("launch_failed", job=13, reason="engine_unreachable")
        self.assertIn("cannot patch resource", failed["message"])

    # --- the engine and we, gone for a while

    def test_expired_token_queues_and_a_new_one_goes_on(self):
        token = self.token_file.read_text()
        self.token_file.write_text(cluster.expired_token(token))
        probe = self.probe()
        probe.say("launch", 14, 1, 1, 1)
        failed = probe.expect("launch_failed", job=14, reason="engine_unreachable")
        self.assertIn("401", failed["message"])
        self.assertIn("expired", failed["message"])
        self.token_file.write_text(token)
        probe.expect("seen", reachable=True)
        probe.say("launch", 14, 2, 1, 1)
        probe.expect("launched", epoch=2)
        self.running_pods(1)

    def test_unreachable_server_queues(self):
        port = kube_support.free_ports(1)[0]
        probe = self.probe(api_server=f"https://127.0.0.1:{port}")
        probe.say("launch", 15, 1, 1, 1)
        failed = probe.expect("launch_failed", job=15, reason="engine_unreachable")
        self.assertIn(f"127.0.0.1:{port}", failed["message"])

    def test_server_with_another_certificate_is_not_told_the_token(self):
        probe = self.probe(ca_file=None)  # the system's certificates do not know it
        probe.say("launch", 15, 1, 1, 1)
        failed = probe.expect("launch_failed", job=15, reason="engine_unreachable")
        self.assertIn("certificate", failed["message"])

    def test_api_server_restart_costs_a_running_job_nothing(self):
        probe = self.probe()
        probe.say("launch", 16, 1, 1, 1)
        probe.expect("launched")
        pod = self.running_pods(1)[0]
        cluster.kill("kube-apiserver")
        probe.expect("seen", reachable=False)
        cluster.start_apiserver()
        probe.expect("seen", reachable=True)
        cluster.kill("kwok")  # it takes its time to come back by itself
        cluster.start_kwok(STAGES)
        self.assertEqual([event for event in probe.seen if event["event"] in ("gone", "launch_failed")], [])
        self.end_pod(pod, 0, "Completed")
        probe.expect("gone", job=16, epoch=1)

    def test_launcher_restart_takes_up_what_runs_and_removes_orphans(self):
        first = self.probe()
        handles = {}
        for job in (20, 21, 22):
            first.say("launch", job, 1, 1, 1)
            handles[job] = first.expect("launched", job=job)["handle"]
        self.running_pods(3)
        first.kill()
        self.probes.remove(first)
        cluster.delete(f"{self.jobs}/{name_of(21)}", propagationPolicy="Background")
        wait_until(lambda: not cluster.get(f"{self.jobs}/{name_of(21)}"), "the Job is deleted")
        # 20 still runs, 21 is gone, 22 is nobody's, 23 was never heard of
        second = self.probe(reconcile=(f"20:1:{handles[20]}", f"21:1:{handles[21]}", "23:1:"))
        gone = second.expect("gone", job=21, reason="worker_lost")
        self.assertIn("while no coordinator was there", gone["message"])
        second.expect("gone", job=23)
        self.gone(name_of(22))
        pods = self.running_pods(1)
        self.end_pod(pods[0], 0, "Completed")
        second.expect("gone", job=20, epoch=1)
        self.gone(name_of(20))

    def test_unrecorded_launch_is_taken_up(self):
        first = self.probe()
        first.say("launch", 24, 1, 1, 1)
        handle = first.expect("launched")["handle"]
        self.running_pods(1)
        first.kill()
        self.probes.remove(first)
        second = self.probe(reconcile=("24:1:",))
        self.assertEqual(second.expect("launched", job=24, epoch=1)["handle"], handle)

    # --- many, and for long

    def test_launching_adds_less_than_a_second(self):
        probe = self.probe()
        begin = time.monotonic()
        probe.say("launch", 30, 1, 1, 1)
        probe.expect("launched")
        launched = time.monotonic() - begin
        self.running_pods(1)
        print(f"launch: {launched:.2f} s to the Job with its Secret and Service, "
              f"{time.monotonic() - begin:.2f} s to the running pod", flush=True)
        self.assertLess(launched, 5)  # of a busy machine

    def test_launch_that_comes_again_does_not_meet_its_own_remains(self):
        self.token_file.write_text(cluster.service_account(self.namespace, "half", RULES[:2] + RULES[3:]))  # no Secrets
        probe = self.probe()
        probe.say("launch", 31, 1, 1, 1)
        failed = probe.expect("launch_failed", job=31, reason="engine_unreachable")
        self.assertIn("secrets", failed["message"])
        self.token_file.write_text(cluster.token(self.namespace, "coordinator"))
        probe.say("launch", 31, 1, 1, 1, "another-token")  # the attempt was undone: its number comes again
        handle = probe.expect("launched", job=31)["handle"]
        self.assertIn(name_of(31, token="another-token"), handle)
        self.gone(name_of(31))
        self.running_pods(1)
        self.assertEqual([event for event in probe.seen if event["event"] == "gone"], [])

    @unittest.skipUnless(LONG, "long form")
    def test_drained_node_is_a_loss_of_the_node(self):
        def drain(pod):
            cluster.patch(f"/api/v1/nodes/{pod['spec']['nodeName']}", {"spec": {"taints": [
                {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]}})
        try:
            self.lose(drain, "node_lost", "DeletionByTaintManager", node_patience="1s")
        finally:
            for name in ("gpu-0", "gpu-1"):
                cluster.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})

    @unittest.skipUnless(LONG, "long form")
    def test_five_hundred_jobs_are_tracked_with_few_requests(self):
        count = int(os.environ.get("ANAMNESIS_KUBERNETES_JOBS", "500"))
        probe = self.probe(gpus_per_rank=0, cpu_per_rank="10m", memory_per_rank="10Mi", requests_per_second=100)
        begin = time.monotonic()
        for job in range(1, count + 1):
            probe.say("launch", job, 1, 1, 1)
        for _ in range(count):
            probe.expect("launched", 300)
        launched = time.monotonic() - begin
        wait_until(lambda: sum(pod["status"].get("phase") == "Running" for pod in self.list(self.pods)) == count,
                   f"{count} pods run", 300)
        running = time.monotonic() - begin
        before, begin = self.requests(probe), time.monotonic()
        cluster.kill("kube-apiserver")
        probe.expect("seen", reachable=False)
        cluster.start_apiserver()
        probe.expect("seen", reachable=True)
        cluster.kill("kwok")
        cluster.start_kwok(STAGES)
        wait_until(lambda: time.monotonic() - begin > 30, "half a minute")
        rate = (self.requests(probe) - before) / (time.monotonic() - begin)
        memory = next(int(line.split()[1]) // 1024 for line in
                      pathlib.Path(f"/proc/{probe.process.pid}/status").read_text().splitlines() if "VmRSS" in line)
        print(f"{count} jobs: launched in {launched:.0f} s, running after {running:.0f} s; {rate:.2f} requests/s with a "
              f"restart of the API server within, {memory} MiB", flush=True)
        self.assertLess(rate, 10)
        self.assertLess(memory, 150)
        self.assertEqual([event for event in probe.seen if event["event"] in ("gone", "launch_failed")], [])
        probe.say("stop_all")
        for _ in range(count):
            probe.expect("gone", 300)
        wait_until(lambda: not self.list(self.pods) and not self.list(self.jobs), "nothing is left", 300)

    def requests(self, probe):
        probe.say("requests")
        return probe.expect("requests")["count"]

    def admin_token(self):
        path = cluster.root / "admin.token"
        path.write_text("admin-token")
        return path

    def gone(self, name):
        """Job, Secret and Service of that name are removed, pods too."""
        base = f"/api/v1/namespaces/{self.namespace}"
        paths = [f"{self.jobs}/{name}", f"{base}/secrets/{name}", f"{base}/services/{name}"]
        wait_until(lambda: not any(cluster.get(path) for path in paths), f"nothing is left of {name}")


if __name__ == "__main__":
    unittest.main()
