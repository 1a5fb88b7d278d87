# SPDX-License-Identifier: Apache-2.0
"""A kubelet in small, for tests: it registers a node, starts the container of every pod that the scheduler binds to it as
a process of this machine, and reports what becomes of it. Volumes of a Secret become folders, other mounts are the same
paths here as there. No images, no isolation."""

import base64
import datetime
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import kube_support


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class FakeKubelet:
    """One node. `start` returns once it is ready; `stop` leaves what runs to `kill_all`."""

    HEARTBEAT = 5

    def __init__(self, cluster, name, gpus):
        self.cluster = cluster
        self.name = name
        self.root = cluster.root / f"kubelet-{name}"
        self.running = {}  # by the pod's uid: its process, and when it is killed
        self.told = set()  # pods whose end was reported
        self.ending = threading.Event()
        self.problem = None
        cluster.node(name, gpus=gpus, fake=False)
        self._beat()
        cluster.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def close(self):
        self.stop()
        self.kill_all()
        shutil.rmtree(self.root, ignore_errors=True)

    def stop(self):
        """The node answers no more; its processes go on."""
        self.ending.set()
        self.thread.join()
        if self.problem:
            raise self.problem

    def kill_all(self):
        for process, _ in self.running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def pids(self):
        return {uid: process.pid for uid, (process, _) in self.running.items()}

    # --- inside

    def _run(self):
        last_beat = time.monotonic()
        while not self.ending.wait(0.1):
            try:
                if time.monotonic() - last_beat > self.HEARTBEAT:
                    last_beat = time.monotonic()
                    self._beat()
                selector = f"fieldSelector=spec.nodeName={self.name}"
                for pod in self.cluster.call("GET", f"/api/v1/pods?{selector}")["items"]:
                    self._turn(pod)
            except (OSError, kube_support.ApiError):
                continue  # an API server that is started anew
            except Exception as error:  # shown by stop()
                self.problem = error
                return

    def _beat(self):
        self.cluster.patch(f"/api/v1/nodes/{self.name}/status", {"status": {"conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready",
             "lastHeartbeatTime": now(), "lastTransitionTime": now()}]}})

    def _turn(self, pod):
        uid = pod["metadata"]["uid"]
        deleting = "deletionTimestamp" in pod["metadata"]
        if uid not in self.running:
            if deleting or pod["status"].get("phase") in ("Succeeded", "Failed"):
                self._remove(pod)
            else:
                self._start(pod)
            return
        process, kill_time = self.running[uid]
        if process.poll() is not None:
            if uid not in self.told:
                self._report_end(pod, process.returncode)
                self.told.add(uid)
            if deleting:
                self._remove(pod)
        elif deleting and kill_time is None:
            process.send_signal(signal.SIGTERM)
            grace = pod["metadata"].get("deletionGracePeriodSeconds", 30)
            self.running[uid] = (process, time.monotonic() + grace)
        elif kill_time is not None and time.monotonic() > kill_time:
            os.killpg(process.pid, signal.SIGKILL)

    def _start(self, pod):
        container = pod["spec"]["containers"][0]
        folder = self.root / pod["metadata"]["uid"]
        paths = self._secrets(pod, container, folder)
        if paths is None:
            return  # a Secret that is not there yet: the next turn
        environment = {"PATH": os.environ["PATH"]}
        for entry in container.get("env", []):
            value = entry.get("value", "")
            if "valueFrom" in entry:
                path = entry["valueFrom"]["fieldRef"]["fieldPath"]
                value = pod["metadata"]["annotations"][re.search(r"'(.*)'", path).group(1)]
            for mounted, here in paths.items():
                value = value.replace(mounted, str(here))
            environment[entry["name"]] = value
        words = [re.sub(r"\$\((\w+)\)", lambda match: environment[match.group(1)], word)
                 for word in container["command"] + container.get("args", [])]
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                                       start_new_session=True)
        self.running[pod["metadata"]["uid"]] = (process, None)
        self._report(pod, "Running", {"running": {"startedAt": now()}})

    def _secrets(self, pod, container, folder):
        """By mount path, the folder here of each Secret; None while one is absent."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = {}
        for volume in pod["spec"].get("volumes", []):
            if "secret" not in volume:
                continue
            namespace = pod["metadata"]["namespace"]
            secret = self.cluster.get(f"/api/v1/namespaces/{namespace}/secrets/{volume['secret']['secretName']}")
            if secret is None:
                return None
            here = folder / volume["name"]
            here.mkdir(exist_ok=True)
            for name, value in secret["data"].items():
                (here / name).write_bytes(base64.b64decode(value))
            mount = next(mount for mount in container["volumeMounts"] if mount["name"] == volume["name"])
            paths[mount["mountPath"]] = here
        return paths

    def _report(self, pod, phase, state):
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        ready = "True" if phase == "Running" else "False"
        self.cluster.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": {
            "phase": phase, "podIP": "127.0.0.1", "startTime": now(),
            "conditions": [{"type": kind, "status": ready, "lastTransitionTime": now()}
                           for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [{"name": pod["spec"]["containers"][0]["name"], "image": "x", "imageID": "",
                                   "ready": phase == "Running", "restartCount": 0, "state": state}]}})

    def _report_end(self, pod, returncode):
        exit_code = 128 - returncode if returncode < 0 else returncode
        self._report(pod, "Failed" if exit_code else "Succeeded", {"terminated": {
            "exitCode": exit_code, "reason": "Error" if exit_code else "Completed", "finishedAt": now()}})

    def _remove(self, pod):
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if "deletionTimestamp" in pod["metadata"]:
            try:
                self.cluster.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", gracePeriodSeconds=0,
                                    preconditions={"uid": pod["metadata"]["uid"]})
            except kube_support.ApiError as error:
                if error.code not in (404, 409):
                    raise


def log_of(kubelet, uid):
    return (pathlib.Path(kubelet.root) / uid / "log").read_text(errors="replace")
