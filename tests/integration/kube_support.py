# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes control plane for tests: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, with
KWOK's nodes that have `nvidia.com/gpu`. Every port is free, everything lies in one temporary folder, and all of it ends
with close(). Standard library only; tools/bootstrap --tests builds the programs."""

import base64
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import service_support as support
from service_support import wait_until

VERSION = "v1.34.4"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "helm")
# What the chart's Role grants, with an owner that is a ConfigMap.
COORDINATOR_RULES = [
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list", "watch", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch", "deletecollection"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["create", "patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["coordinator"], "verbs": ["get"]},
]


def engines():
    """The folder of the cached programs; None where one is absent."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    folder = cache / "anamnesis/engines" / f"kubernetes-{VERSION}"
    there = all((folder / name).exists() for name in PROGRAMS) and shutil.which("etcd")
    return folder if there else None


def require_engines():
    folder = engines()
    if folder is None:
        raise unittest.SkipTest("kubernetes absent")
    return folder


def free_ports(count):
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for open_socket in sockets:
        open_socket.bind(("127.0.0.1", 0))
    ports = [open_socket.getsockname()[1] for open_socket in sockets]
    for open_socket in sockets:
        open_socket.close()
    return ports


class ApiError(Exception):
    def __init__(self, code, body):
        super().__init__(f"{code}: {body[:500]}")
        self.code = code
        self.body = body


class Cluster:
    """The control plane. `admin` may do everything. The requests of the user `audited` are written down."""

    def __init__(self, audited=None):
        self.audited = audited
        self.engines = require_engines()
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="anamnesis-kube-"))
        self.processes = {}
        self.etcd_port, self.etcd_peer, self.port, manager, scheduler = free_ports(5)
        self.ports = {"kube-controller-manager": manager, "kube-scheduler": scheduler}
        self.server = f"https://127.0.0.1:{self.port}"
        self.ca_file = self.root / "certificates/apiserver.crt"
        self.context = None
        self._write_credentials()

    # --- life

    def start(self):
        try:
            self.start_etcd()
            self.start_apiserver()
            self._start("kube-controller-manager", "--kubeconfig", self.root / "admin.kubeconfig", "--leader-elect=false",
                        "--service-account-private-key-file", self.root / "sa.key", "--root-ca-file", self.ca_file,
                        "--bind-address=127.0.0.1",
                        "--secure-port", self.ports["kube-controller-manager"], "--cert-dir", self.root / "kcm",
                        "--kube-api-qps=200", "--kube-api-burst=400", "--terminated-pod-gc-threshold=5000")
            self._start("kube-scheduler", "--kubeconfig", self.root / "admin.kubeconfig", "--leader-elect=false",
                        "--bind-address=127.0.0.1", "--secure-port", self.ports["kube-scheduler"], "--cert-dir",
                        self.root / "scheduler", "--kube-api-qps=200", "--kube-api-burst=400")
        except BaseException:
            self.close()
            raise
        return self

    def start_etcd(self):
        url, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.etcd_peer}"
        self._start("etcd", "--data-dir", self.root / "etcd", "--listen-client-urls", url, "--advertise-client-urls", url,
                    "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster",
                    f"default={peer}", "--log-level=warn")
        wait_until(lambda: self._listens(self.etcd_port, "etcd"), "etcd listens")

    def start_apiserver(self):
        self._start(
            "kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{self.etcd_port}", "--bind-address=127.0.0.1",
            "--secure-port", self.port, "--cert-dir", self.root / "certificates", "--token-auth-file",
            self.root / "tokens.csv", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file", self.root / "sa.pub",
            "--service-account-signing-key-file", self.root / "sa.key", "--endpoint-reconciler-type=none",
            "--allow-privileged=true", "--profiling=false",
            # Debian's etcd cannot stream a list; a client that asks for one is told so, and lists.
            "--feature-gates=WatchList=false", *self._audit())
        wait_until(self._ready, "the API server is ready", 180)

    def start_kwok(self, stages):
        """KWOK as the kubelet of every node annotated kwok.x-k8s.io/node=fake, by the stages of that file."""
        self._start("kwok", "--kubeconfig", self.root / "admin.kubeconfig",
                    "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", "--config", stages,
                    "--node-lease-duration-seconds=0")

    def wait_until(self, condition, what, seconds=120):
        """As service_support's, but a part of the control plane that has ended is what is wrong."""
        return wait_until(lambda: all(map(self._alive, self.processes)) and condition(), what, seconds)

    def kill(self, name):
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def close(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                print(f"{name} ended by itself ({process.returncode}):\n{self.log(name)[-3000:]}", flush=True)
        for process in reversed(list(self.processes.values())):
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes.clear()
        shutil.rmtree(self.root, ignore_errors=True)

    def log(self, name):
        return (self.root / f"{name}.log").read_text()

    # --- asking

    def call(self, method, path, body=None, token="admin-token", content_type="application/json"):
        """The answer's JSON. ApiError for any status but 2xx."""
        return self.call_text(method, path, None if body is None else json.dumps(body), content_type, token)

    def call_text(self, method, path, body, content_type, token="admin-token"):
        """As call, with a body that is text, such as YAML."""
        if self.context is None:
            self.context = ssl.create_default_context(cafile=str(self.ca_file))
        request = urllib.request.Request(self.server + path, method=method,
                                         data=None if body is None else body.encode(),
                                         headers={"Authorization": f"Bearer {token}", "Content-Type": content_type})
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")) from None

    def get(self, path):
        """None for what is not there."""
        try:
            return self.call("GET", path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def create(self, path, body):
        return self.call("POST", path, body)

    def patch(self, path, body):
        return self.call("PATCH", path, body, content_type="application/merge-patch+json")

    def delete(self, path, **options):
        return self.call("DELETE", path, options or None)

    def changes(self, path):
        """What a watch of that list tells, from now on: the kind of each change and the object."""
        version = self.call("GET", path)["metadata"]["resourceVersion"]
        request = urllib.request.Request(f"{self.server}{path}?watch=1&resourceVersion={version}",
                                         headers={"Authorization": "Bearer admin-token"})
        with urllib.request.urlopen(request, context=self.context) as answer:
            for line in answer:
                change = json.loads(line)
                yield change["type"], change["object"]

    def audited_requests(self):
        """Every request of the audited user until now, when it came in: its verb and its path."""
        lines = (self.root / "audit.log").read_text().splitlines()
        return [(line["verb"], line["requestURI"]) for line in map(json.loads, lines)]

    def namespace(self, name, level="restricted"):
        """A namespace in which PodSecurity enforces `level`."""
        self.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": {
            "pod-security.kubernetes.io/enforce": level}}})
        wait_until(lambda: self.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"), "its service account")

    def node(self, name, gpus=8, cpu="64", memory="256Gi", fake=True):
        """A node; with `fake`, KWOK is its kubelet."""
        capacity = {"cpu": cpu, "memory": memory, "pods": "1000", "nvidia.com/gpu": str(gpus)}
        self.create("/api/v1/nodes", {
            "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"} if fake else {},
                         "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
            "status": {"capacity": capacity, "allocatable": capacity}})

    def service_account(self, namespace, name, rules):
        """A service account with a Role of these rules; returns a token of it."""
        base = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        self.create(base, {"metadata": {"name": name}})
        self.create(f"{rbac}/roles", {"metadata": {"name": name}, "rules": rules})
        self.create(f"{rbac}/rolebindings", {
            "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]})
        return self.token(namespace, name)

    def token(self, namespace, name):
        answer = self.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
                             {"spec": {"expirationSeconds": 3600}})
        return answer["status"]["token"]

    def home_of_coordinator(self, namespace):
        """That namespace with a service account for a coordinator, the object that owns its jobs, and a volume."""
        self.namespace(namespace)
        base = f"/api/v1/namespaces/{namespace}"
        self.service_account(namespace, "coordinator", COORDINATOR_RULES)
        self.create(f"{base}/configmaps", {"metadata": {"name": "coordinator"}})
        # This machine's folders, which the fake kubelets show under the same paths.
        size = {"storage": "1Gi"}
        self.create("/api/v1/persistentvolumes", {"metadata": {"name": f"data-{namespace}"}, "spec": {
            "capacity": size, "accessModes": ["ReadWriteMany"], "hostPath": {"path": "/data"}, "storageClassName": ""}})
        self.create(f"{base}/persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteMany"], "volumeName": f"data-{namespace}", "storageClassName": "",
            "resources": {"requests": size}}})
        wait_until(lambda: self.get(f"{base}/persistentvolumeclaims/data")["status"].get("phase") == "Bound",
                   "the claim is bound")

    def expired_token(self, token):
        """That service account's token as it was an hour ago: signed by the cluster's own key, and expired."""
        header, claims, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(claims + "=="))
        claims["exp"] = int(time.time()) - 60
        claims["iat"] = claims["nbf"] = claims["exp"] - 3600
        claims = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.root / "sa.key", "-binary"],
                                input=f"{header}.{claims}".encode(), capture_output=True, check=True).stdout
        return f"{header}.{claims}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"

    # --- inside

    def _start(self, name, *words):
        program = self.engines / name if (self.engines / name).exists() else shutil.which(name)
        with open(self.root / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen([str(word) for word in (program, *words)], stdin=subprocess.DEVNULL,
                                                    stdout=log, stderr=log, cwd=self.root)

    def _alive(self, name):
        if self.processes[name].poll() is not None:
            raise AssertionError(f"{name} ended: {self.log(name)[-2000:]}")
        return True

    def _listens(self, port, name):
        self._alive(name)
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def _ready(self):
        self._alive("kube-apiserver")
        if not self.ca_file.exists():
            return False
        try:
            # priority classes and the like are made after the start
            self.call("GET", "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical")
            self.call("GET", "/healthz")
        except ValueError:  # "ok", which is no JSON; the controller manager waits no more than ten seconds for it
            return True
        except (OSError, ApiError):
            return False
        return False

    def _audit(self):
        """The API server's options for it: a line for each request as it comes, of that user alone."""
        if self.audited is None:
            return []
        (self.root / "audit.json").write_text(json.dumps({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [
                {"level": "Metadata", "users": [self.audited], "omitStages": ["ResponseStarted", "ResponseComplete"]},
                {"level": "None"}]}))
        return ["--audit-policy-file", self.root / "audit.json", "--audit-log-path", self.root / "audit.log"]

    def _write_credentials(self):
        self.root.joinpath("tokens.csv").write_text('admin-token,admin,admin,"system:masters"\n')
        subprocess.run(["openssl", "genrsa", "-out", self.root / "sa.key", "2048"], check=True, capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", self.root / "sa.key", "-pubout", "-out", self.root / "sa.pub"],
                       check=True, capture_output=True)
        self.root.joinpath("admin.kubeconfig").write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.server, "certificate-authority": str(self.ca_file)}}],
            "users": [{"name": "admin", "user": {"token": "admin-token"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "admin"}}]}))


class KubeService(support.Service):
    """A coordinator whose jobs run in that cluster, in a namespace made by home_of_coordinator."""

    def __init__(self, cluster, namespace, slots=4, name="anamnesis", ranks_per_node=2, **engine):
        super().__init__(slots=slots)
        token_file = self.root / "token"
        token_file.write_text(cluster.token(namespace, "coordinator"))
        port, = free_ports(1)  # of the worker plane: every start of it is where its workers look for it
        engine = {"api_server": cluster.server, "ca_file": cluster.ca_file, "token_file": token_file,
                  "namespace": namespace, "name": name, "owner": "ConfigMap/coordinator",
                  "image": "anamnesis/worker:test", "worker": support.BIN / "anamnesis-worker", "gpus_per_rank": 1,
                  "user": 1000, "group": 1000, "grace": "20s", "mount": f"data:{self.root}", **engine}
        self.options = ["--launcher", "kubernetes", "--ranks-per-node", ranks_per_node, "--interface", "lo",
                        "--worker-listen", f"127.0.0.1:{port}",
                        *(word for key, value in engine.items() for word in ("--engine", f"{key}={value}"))]

    def up(self, *options, wait=True):
        super().up(*self.options, *options, wait=wait)
