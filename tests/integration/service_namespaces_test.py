# SPDX-License-Identifier: Apache-2.0
"""Nodes that share nothing but a network: each is a network namespace with an address of its own, and with folders of its
own under the paths of the job. Their workers reach the coordinator over TCP; checkpoints go to it and come from it
(`up --checkpoints upload`)."""

import os
import pathlib
import shutil
import signal
import subprocess
import unittest

import run_support
import service_support as support

OPTIONS = ("--interface", "eth0", "--ranks-per-node", 2)
# What the node of that name sees in place of the coordinator's folders.
OWN = ("state", "cohort", "outputs")

WORKER = """#!/bin/sh
# Stands in for a node's own worker: enters the node's network and folders, then is it.
node=$(cat {root}/place)
last=
for word in "$@"; do
  [ "$last" = --node ] && [ "$word" = 1 ] && node=b
  last=$word
done
exec ip netns exec {prefix}-$node unshare -m sh -c '
  for folder in {own}; do mount --bind {root}/node-'$node'/$folder {root}/$folder || exit 1; done
  exec {worker} "$@"' worker "$@"
"""


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise AssertionError(f"{words}: {done.stderr}")
    return done.stdout


class Cluster(support.Service):
    """A coordinator in a network of its own, and two nodes, a and b."""

    def __init__(self):
        super().__init__(slots=4)
        self.prefix = f"anam{os.getpid()}"
        for name in ("hub", "a", "b"):
            run("ip", "netns", "add", f"{self.prefix}-{name}")
        hub = ("ip", "-n", f"{self.prefix}-hub")
        run(*hub, "link", "set", "lo", "up")
        run(*hub, "link", "add", "br0", "type", "bridge")
        run(*hub, "addr", "add", "10.99.0.1/24", "dev", "br0")
        run(*hub, "link", "set", "br0", "up")
        for number, name in enumerate("ab"):
            node = ("ip", "-n", f"{self.prefix}-{name}")
            run(*hub, "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", f"{self.prefix}-{name}")
            run(*hub, "link", "set", f"to-{name}", "master", "br0", "up")
            run(*node, "addr", "add", f"10.99.0.{number + 2}/24", "dev", "eth0")
            run(*node, "link", "set", "eth0", "up")
            run(*node, "link", "set", "lo", "up")
        self.synth()
        for folder in OWN:
            (self.root / folder).mkdir(exist_ok=True, mode=0o700)
        for name in "ab":
            shutil.copytree(self.root / "cohort", self.root / f"node-{name}/cohort")
            for folder in OWN:
                (self.root / f"node-{name}/{folder}").mkdir(exist_ok=True)
        programs = self.root / "bin"
        programs.mkdir()
        shutil.copy(support.BIN / "anamnesis-coordinator", programs)
        (programs / "anamnesis-worker").write_text(WORKER.format(
            root=self.root, prefix=self.prefix, own=" ".join(OWN), worker=support.BIN / "anamnesis-worker"))
        (programs / "anamnesis-worker").chmod(0o700)
        self.place("a")

    def place(self, name):
        """Where the next leading worker goes."""
        place = self.root / "place"
        if place.is_fifo():
            place.write_text(name)  # to the worker that waits
            place.unlink()
        place.write_text(name)

    def hold(self):
        """Workers wait at their start for `place`."""
        (self.root / "place").unlink()
        os.mkfifo(self.root / "place")

    def up(self, port=0, checkpoints="upload"):
        with open(self.root / "up.log", "ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", f"{self.prefix}-hub", self.root / "bin/anamnesis-coordinator", "--slots",
                 str(self.slots), "--worker-listen", f"10.99.0.1:{port}", "--checkpoints", checkpoints,
                 *map(str, OPTIONS)], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        support.wait_until(lambda: self.answers() or self.process.poll() is not None, "the coordinator answers")
        if self.process.poll() is not None:
            raise AssertionError((self.root / "up.log").read_text())

    def config(self, name):
        path = self.root / f"{name}.yaml"
        path.write_text(support.CONFIG.format(data=self.root / "cohort", output=self.root / "outputs" / name))
        return path

    def pids(self, node):
        return [int(word) for word in run("ip", "netns", "pids", f"{self.prefix}-{node}").split()]

    def kill_node(self, node):
        for pid in self.pids(node):
            os.kill(pid, signal.SIGKILL)

    def close(self):
        self.stop()
        for name in ("hub", "a", "b"):
            subprocess.run(["ip", "netns", "del", f"{self.prefix}-{name}"], check=False, capture_output=True)
        subprocess.run(["umount", self.root / "outputs"], check=False, capture_output=True)
        super().close()


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("ip") and shutil.which("unshare"), "needs root to make networks")
class Namespaces(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.close)

    def check_outcome(self, found, expected):
        self.assertEqual((found["state"], found["final_sha256"]), ("succeeded", expected), found["message"])
        output = pathlib.Path(found["output_dir"])
        self.assertEqual(support.adapter_sha256(output), expected, "the result is on the coordinator's machine")
        self.assertFalse(list(output.glob(".upload-*")))
        for entry in self.cluster.checkpoints(found["name"]):
            manifest = pathlib.Path(entry["path"]) / "manifest.json"
            if manifest.exists():
                self.assertEqual(run_support.sha256(manifest), entry["sha256"])

    def test_a_gang_goes_over_the_network_and_goes_on_on_another_node(self):
        cluster = self.cluster
        cluster.up()
        # Two nodes with two ranks each, their traffic over the declared interface.
        both = cluster.submit("both", "--ranks", 4)
        cluster.wait_for_step(both, 5)
        self.assertTrue(cluster.pids("a") and cluster.pids("b"))
        peers = run("ip", "netns", "exec", f"{cluster.prefix}-b", "cat", "/proc/net/tcp")
        self.assertIn("0200630A", peers, "a connection from 10.99.0.3 to 10.99.0.2")
        found = cluster.wait(both)
        expected = found["final_sha256"]
        self.check_outcome(found, expected)
        self.assertFalse((cluster.root / "node-b/outputs/both/final_model").exists(), "one node writes")

        # One node, which is lost; the other one has nothing of it but what the coordinator keeps.
        job = cluster.submit("moved", "--ranks", 2)
        cluster.wait_for_step(job, 45)
        cluster.place("b")
        cluster.kill_node("a")
        moved = cluster.wait(job)
        self.check_outcome(moved, expected)
        self.assertEqual([attempt["reason"] for attempt in moved["attempts"]], ["worker_lost", "done"])
        self.assertGreaterEqual(moved["attempts"][1]["resumed_step"], 20)
        self.assertTrue((cluster.root / "node-a/outputs/moved/checkpoint-20").exists())
        self.assertTrue((cluster.root / "node-b/outputs/moved/final_model").exists())

    def test_a_full_store_is_waited_for(self):
        cluster = self.cluster
        run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", cluster.root / "outputs")
        cluster.up()
        job = cluster.submit("full", "--ranks", 1)
        found = cluster.wait_for_state(job, "recovering")
        self.assertEqual(found["reason"], "disk_full")
        self.assertIn("coordinator's machine", found["message"])
        run("mount", "-o", "remount,size=64m", cluster.root / "outputs")
        found = cluster.wait(job)
        self.check_outcome(found, found["final_sha256"])
        self.assertGreater(len(found["attempts"]), 1)

    def test_the_store_needs_its_coordinator_and_waits_for_it(self):
        cluster = self.cluster
        cluster.up()
        job = cluster.submit("away", "--ranks", 1)
        cluster.wait_for_step(job, 10)
        port = int(cluster.note()["worker_address"].rsplit(":", 1)[1])
        cluster.kill()
        staged = cluster.root / "node-a/outputs/away"
        support.wait_until(lambda: list(staged.glob(".staging-*")), "a checkpoint waits for the coordinator")
        cluster.up(port)
        found = cluster.wait(job)
        self.check_outcome(found, found["final_sha256"])
        self.assertEqual([attempt["message"] for attempt in found["attempts"]], [""])


if __name__ == "__main__":
    unittest.main()
