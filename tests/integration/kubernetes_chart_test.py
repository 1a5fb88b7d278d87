# SPDX-License-Identifier: Apache-2.0
"""The Helm chart: rendered by real helm, checked by its schema, taken by a real API server under the restricted policy,
and its coordinator's arguments by the real coordinator."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import kube_support
from service_support import BIN, wait_until

CHART = pathlib.Path(os.environ["ANAMNESIS_SOURCE_DIR"]) / "deploy/helm/anamnesis"
NAMESPACE = "ml"
KINDS = {"StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets", "Service": "/api/v1/namespaces/{}/services",
         "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts", "Pod": "/api/v1/namespaces/{}/pods",
         "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
         "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
         "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
         "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
         "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
         "ServiceMonitor": "/apis/monitoring.coreos.com/v1/namespaces/{}/servicemonitors",
         "PodMonitor": "/apis/monitoring.coreos.com/v1/namespaces/{}/podmonitors"}
EVERYTHING = ["--set", "metrics.serviceMonitor.enabled=true", "--set", "metrics.podMonitor.enabled=true", "--set",
              "kueue.queueName=team-a", "--set", "extraMounts[0].claim=models", "--set", "extraMounts[0].path=/models",
              "--set", "extraMounts[0].readOnly=true", "--set", "workers.tolerations[0].key=nvidia.com/gpu", "--set",
              "workers.tolerations[0].effect=NoSchedule", "--set", "workers.nodeSelector.pool=gpu", "--set",
              "workers.env.HF_HOME=/data/hf", "--set", "image.pullSecrets[0]=registry", "--set",
              "coordinator.priorityClassName=system-cluster-critical", "--set", "networkPolicy.monitoringNamespace=mon"]

cluster = None


def setUpModule():
    global cluster
    cluster = kube_support.Cluster()
    unittest.addModuleCleanup(cluster.close)
    cluster.start()
    cluster.namespace(NAMESPACE)
    for kind, plural in (("ServiceMonitor", "servicemonitors"), ("PodMonitor", "podmonitors")):
        monitor_kind(kind, plural)


def monitor_kind(kind, plural):
    """The Prometheus operator's kind, as far as its name goes."""
    cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced",
                 "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                 "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                     "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}})


def helm(*words, check=True):
    return subprocess.run([kube_support.engines() / "helm", *map(str, words)], capture_output=True, text=True, check=check,
                          env=dict(os.environ, HELM_CACHE_HOME=str(cluster.root / "helm")))


def documents_of(text):
    """The documents of a rendered chart; the API server reads them as YAML, here their kinds and names are enough."""
    return [part for part in text.split("\n---\n") if "\nkind:" in "\n" + part]


def field(document, name):
    """A top-level or metadata field of a rendered document."""
    for line in document.splitlines():
        if line.startswith((f"{name}: ", f"  {name}: ")):
            return line.split(":", 1)[1].strip()
    raise AssertionError(f"no {name} in {document[:200]}")


def apply(document, query=""):
    path = KINDS[field(document, "kind")].format(NAMESPACE) + "/" + field(document, "name")
    request = f"{path}?fieldManager=helm&force=true&fieldValidation=Strict{query}"
    return cluster.call_text("PATCH", request, document, "application/apply-patch+yaml")


def render(*values):
    return helm("template", "anamnesis", CHART, "--namespace", NAMESPACE, "--kube-version", kube_support.VERSION, "--set",
                "image.repository=example.org/anamnesis", *values).stdout


class KubernetesChartTest(unittest.TestCase):
    def test_lint_finds_nothing(self):
        found = helm("lint", "--strict", CHART, "--kube-version", kube_support.VERSION, "--set", "image.repository=x",
                     check=False)
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)

    def test_schema_names_wrong_values(self):
        for value in ("coordinator.slots=0", "workers.gpusPerRank=2", "workers.grace=soon", "workers.memoryPerRank=much",
                      "data.path=data", "coordinator.unknown=1", "image.pullPolicy=Sometimes", "user=0",
                      "networkPolicy.apiServer.cidr=everywhere"):
            found = helm("template", "x", CHART, "--kube-version", kube_support.VERSION, "--set", "image.repository=x",
                         "--set", value, check=False)
            self.assertNotEqual(found.returncode, 0, value)
            self.assertIn("/" + value.split("=")[0].split(".")[0], found.stderr.replace("at ''", "/coordinator"), value)
        found = helm("template", "x", CHART, "--kube-version", kube_support.VERSION, check=False)
        self.assertIn("image.repository: the image with the programs of Anamnesis", found.stderr)

    def test_api_server_takes_every_object(self):
        for values in ([], EVERYTHING):
            kinds = set()
            rendered = documents_of(render(*values))
            for document in rendered:
                if field(document, "kind") == "ServiceAccount":  # those of the pods are looked up
                    apply(document)
            for document in rendered:
                kinds.add(apply(document, "&dryRun=All")["kind"])
            self.assertGreaterEqual(kinds, set(KINDS) - {"ServiceMonitor", "PodMonitor"})
        self.assertEqual(kinds, set(KINDS))

    def test_restricted_policy_lets_the_coordinator_in_and_its_role_suffices(self):
        for document in documents_of(render()):
            if field(document, "kind") != "Pod":
                apply(document)
        pods = KINDS["Pod"].format(NAMESPACE)
        pod = wait_until(lambda: cluster.get(f"{pods}/anamnesis-0"), "the StatefulSet's pod is created")
        container = pod["spec"]["containers"][0]
        self.assertEqual({name for name in ("startupProbe", "livenessProbe", "readinessProbe")
                          if container[name]["grpc"]["port"] == 7800}, {"startupProbe", "livenessProbe", "readinessProbe"})
        self.take_launcher(container["args"])

    def take_launcher(self, args):
        """The launcher with the chart's own settings, service account and role: a Job is created, and removed."""
        token_file = cluster.root / "coordinator.token"
        token_file.write_text(cluster.token(NAMESPACE, "anamnesis"))
        engine = [word.removeprefix("--engine=") for word in args if word.startswith("--engine=")]
        with subprocess.Popen([BIN / "kubernetes_probe", f"api_server={cluster.server}", f"ca_file={cluster.ca_file}",
                               f"token_file={token_file}", f"namespace={NAMESPACE}", *engine], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as probe:
            probe.stdin.write("reconcile\nlaunch 1 1 2 4\n")
            probe.stdin.flush()
            self.expect(probe, "launched")
            job, = cluster.call("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")["items"]
            self.assertEqual(job["metadata"]["ownerReferences"][0]["kind"], "StatefulSet")
            pods = KINDS["Pod"].format(NAMESPACE)
            selector = "labelSelector=app.kubernetes.io/name%3Danamnesis-worker"
            wait_until(lambda: len(cluster.call("GET", f"{pods}?{selector}")["items"]) == 2, "the policy lets workers in")
            probe.stdin.write("stop 1 now\n")
            probe.stdin.flush()
            self.expect(probe, "gone")
            probe.kill()

    def expect(self, probe, event):
        seen = []
        for line in probe.stdout:
            seen.append(json.loads(line))
            if seen[-1]["event"] == event:
                return
            self.assertNotIn(seen[-1]["event"], ("launch_failed",), seen)
        raise AssertionError(f"no {event}: {seen}")

    def test_coordinator_takes_the_charts_arguments(self):
        document = next(part for part in documents_of(render(*EVERYTHING)) if field(part, "kind") == "StatefulSet")
        name = cluster.call_text("PATCH", KINDS["StatefulSet"].format(NAMESPACE) +
                                 "/anamnesis?fieldManager=helm&force=true&dryRun=All", document,
                                 "application/apply-patch+yaml")
        args = name["spec"]["template"]["spec"]["containers"][0]["args"]
        with tempfile.TemporaryDirectory(prefix="anamnesis-chart-") as folder:
            words = [word.replace("=/state", f"={folder}/state").replace("--root=/data", f"--root={folder}")
                     for word in args if not word.startswith(("--worker-data-dir", "--listen", "--worker-listen", "--metrics"))]
            words += ["--worker-listen=127.0.0.1:0", f"--engine=api_server={cluster.server}",
                      f"--engine=ca_file={cluster.ca_file}", f"--engine=token_file={folder}/none",
                      f"--engine=namespace={NAMESPACE}"]
            with subprocess.Popen([BIN / "anamnesis-coordinator", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, env=dict(os.environ, HOME=folder)) as process:
                line = process.stderr.readline() + process.stderr.readline()
                process.terminate()
                self.assertIn("anamnesis", line)
                self.assertEqual(process.wait(), 0, process.stderr.read())


if __name__ == "__main__":
    unittest.main()
