# SPDX-License-Identifier: Apache-2.0
"""Nodes that share nothing but a network and an object store: checkpoints go to a real S3 server (versitygw), from which
a gang on another node goes on (`up --checkpoints s3://BUCKET/PREFIX`)."""

import os
import pathlib
import shutil
import signal
import subprocess
import unittest

import run_support
import service_namespaces_test as namespaces
import service_support as support

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
SERVER = next(iter(sorted(CACHE.glob("anamnesis/engines/versitygw-*/versitygw"))), None)
SECRET = "anamnesis-test-secret"
STORE = "s3://ckpt/runs/test"


class S3Cluster(namespaces.Cluster):
    """The two nodes, and an S3 server beside the coordinator. Its port is fixed: the network is its own."""

    def __init__(self):
        self.server = None
        super().__init__()
        self.buckets = self.root / "buckets"
        self.buckets.mkdir()
        self.environment.update(AWS_ENDPOINT_URL="http://10.99.0.1:9000", AWS_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true",
                                AWS_ACCESS_KEY_ID="tester", AWS_SECRET_ACCESS_KEY=SECRET, ANAMNESIS_STORE_TIMEOUT="4")

    def serve(self):
        (self.buckets / "ckpt").mkdir(exist_ok=True)
        with open(self.root / "s3.log", "ab") as log:
            self.server = subprocess.Popen(
                ["ip", "netns", "exec", f"{self.prefix}-hub", SERVER, "--port", "10.99.0.1:9000", "--quiet", "posix", self.buckets],
                env=dict(os.environ, HOME=str(self.root), ROOT_ACCESS_KEY="tester", ROOT_SECRET_KEY=SECRET),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        support.wait_until(lambda: self.store("list", STORE).returncode == 0, "the S3 server answers")

    def end_server(self):
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server = None

    def store(self, *words, **environment):
        return subprocess.run(["ip", "netns", "exec", f"{self.prefix}-hub", support.BIN / "anamnesis-store", *map(str, words)],
                              env=dict(self.environment, **environment), capture_output=True, text=True, timeout=60)

    def stored(self, job):
        """The names of the job's folders in the store."""
        return self.store("list", f"{STORE}/{job}").stdout.split()

    def close(self):
        self.end_server()
        subprocess.run(["umount", self.buckets], check=False, capture_output=True)
        super().close()


@unittest.skipUnless(SERVER, "versitygw absent")
@unittest.skipUnless(os.geteuid() == 0 and shutil.which("ip") and shutil.which("unshare"), "needs root to make networks")
class ObjectStore(unittest.TestCase):
    def setUp(self):
        self.cluster = S3Cluster()
        self.addCleanup(self.cluster.close)

    def check_outcome(self, found, expected=None):
        cluster, job = self.cluster, found["name"]
        self.assertEqual(found["state"], "succeeded", found["message"])
        self.assertEqual(found["final_sha256"], expected or found["final_sha256"])
        # The result is in the store, and comes from there as it was trained.
        stored = cluster.stored(job)
        epoch = found["attempts"][-1]["epoch"]
        self.assertIn(f"final_model.{epoch}", stored)
        fetched = cluster.root / f"fetched-{job.removeprefix('jobs/')}"
        done = cluster.store("get", f"{STORE}/{job}/final_model.{epoch}", fetched / "final_model")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(support.adapter_sha256(fetched), found["final_sha256"])
        # What is kept there is what the node keeps; the newest commit is among it.
        newest = cluster.checkpoints(job)[0]
        name = f"checkpoint-{newest['step']}.{newest['epoch']}"
        self.assertIn(name, stored)
        manifest = cluster.buckets / "ckpt/runs/test" / job / name / "manifest.json"
        self.assertEqual(run_support.sha256(manifest), newest["sha256"])
        # No key in what the service keeps or says.
        for path in [*cluster.data_dir.rglob("*"), *cluster.root.glob("node-*/state/**/*")]:
            if path.is_file():
                self.assertNotIn(SECRET.encode(), path.read_bytes(), path)

    def log(self, job):
        paths = [self.cluster.root / "state/jobs" / job.removeprefix("jobs/") / "worker.log"]
        return "".join(path.read_text() for path in paths if path.exists())

    def test_a_gang_goes_on_on_another_node(self):
        cluster = self.cluster
        cluster.serve()
        cluster.up(checkpoints=STORE)
        plain = cluster.wait(cluster.submit("plain", "--ranks", 2))
        self.check_outcome(plain)
        self.assertFalse((cluster.root / "outputs/plain").exists(), "the coordinator's machine gets nothing")

        job = cluster.submit("moved", "--ranks", 2)
        support.wait_until(lambda: len(cluster.checkpoints(job)) >= 2, "two checkpoints are committed")
        cluster.place("b")
        cluster.kill_node("a")
        moved = cluster.wait(job)
        self.check_outcome(moved, plain["final_sha256"])
        self.assertEqual([attempt["reason"] for attempt in moved["attempts"]], ["worker_lost", "done"])
        self.assertGreaterEqual(moved["attempts"][1]["resumed_step"], 40)
        # Nothing stays of what the node no longer keeps.
        kept = {path.name for path in (cluster.root / "node-b/outputs/moved").glob("checkpoint-*")} | {"final_model"}
        self.assertEqual({name.rsplit(".", 1)[0] for name in cluster.stored(job)}, kept)

    def test_a_checkpoint_that_is_not_the_committed_one_is_refused(self):
        cluster = self.cluster
        cluster.serve()
        cluster.up(checkpoints=STORE)
        for name, change, text in (("changed", self.put_changed, "not the one that was committed"),
                                   ("rotten", self.let_rot, "damaged in the checkpoint store")):
            with self.subTest(name):
                cluster.place("a")
                job = cluster.submit(name, "--ranks", 1)
                support.wait_until(lambda job=job: cluster.checkpoints(job), "a checkpoint is committed")
                cluster.hold()
                cluster.kill_node("a")
                newest = cluster.checkpoints(job)[0]
                change(f"{job}/checkpoint-{newest['step']}.{newest['epoch']}")
                cluster.place("b")
                found = cluster.wait(job)
                self.assertEqual((found["state"], found["reason"]), ("failed", "invalid_input"), found["message"])
                self.assertIn(text, found["message"])

    def put_changed(self, folder):
        """Somebody with the key puts another manifest there."""
        cluster, copy = self.cluster, self.cluster.root / "copy"
        self.assertEqual(cluster.store("get", f"{STORE}/{folder}", copy).returncode, 0)
        manifest = copy / "manifest.json"
        manifest.write_text(manifest.read_text() + "\n")
        done = cluster.store("put", copy, f"{STORE}/{folder}")
        self.assertEqual(done.returncode, 0, done.stderr)

    def let_rot(self, folder):
        manifest = self.cluster.buckets / "ckpt/runs/test" / folder / "manifest.json"
        manifest.write_text(manifest.read_text() + "\n")

    def test_a_full_store_is_waited_for(self):
        cluster = self.cluster
        namespaces.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", cluster.buckets)
        cluster.serve()
        cluster.up(checkpoints=STORE)
        job = cluster.submit("full", "--ranks", 1)
        found = cluster.wait_for_state(job, "recovering")
        self.assertEqual(found["reason"], "disk_full")
        self.assertIn("No space left in the checkpoint store", found["message"])
        namespaces.run("mount", "-o", "remount,size=64m", cluster.buckets)
        found = cluster.wait(job)
        self.check_outcome(found)
        self.assertGreater(len(found["attempts"]), 1)

    def test_a_store_that_is_slow_or_away_is_waited_for(self):
        cluster = self.cluster
        cluster.up(checkpoints=STORE)
        job = cluster.submit("away", "--ranks", 1)
        support.wait_until(lambda: cluster.get(job)["progress"]["phase"] == "checkpoint store", "it waits before the first step")
        self.assertEqual(cluster.get(job)["state"], "preparing")
        cluster.serve()
        cluster.wait_for_step(job, 10)
        cluster.server.send_signal(signal.SIGSTOP)  # takes connections, answers nothing
        support.wait_until(lambda: "has not answered for 4 s; trying again" in self.log(job), "an upload is given up")
        self.assertEqual(cluster.get(job)["state"], "running")
        cluster.end_server()
        support.wait_until(lambda: "does not answer as it should" in self.log(job), "the next one finds nobody")
        cluster.wait_for_step(job, 35)  # training goes on
        cluster.serve()
        found = cluster.wait(job)
        self.check_outcome(found)
        self.assertEqual(len(found["attempts"]), 1)

    def test_a_wrong_key_and_an_absent_bucket_are_refused_before_training(self):
        cluster = self.cluster
        cluster.serve()
        done = cluster.store("list", "s3://ckpt/x", AWS_SECRET_ACCESS_KEY="wrong")
        self.assertEqual((done.returncode, done.stderr.split(":")[1]), (4, " PERMISSION_DENIED"))
        for name, store, keys, text in (
                ("bucket", "s3://absent/x", {}, "no bucket of that name"),
                ("secret", STORE, {"AWS_SECRET_ACCESS_KEY": "wrong"}, "takes no such key"),
                ("key", STORE, {"AWS_ACCESS_KEY_ID": "nobody"}, "takes no such key")):
            with self.subTest(name):
                right = dict(cluster.environment)
                cluster.environment.update(keys)
                cluster.up(checkpoints=store)
                found = cluster.wait(cluster.submit(name, "--ranks", 1))
                self.assertEqual((found["state"], found["reason"]), ("rejected", "invalid_input"), found["message"])
                self.assertIn(text, found["message"])
                cluster.stop()
                cluster.end_server()
                cluster.environment = right
                cluster.serve()

    def test_another_coordinators_checkpoints_are_left_alone(self):
        cluster = self.cluster
        cluster.serve()
        (cluster.root / "else").mkdir()
        (cluster.root / "else/manifest.json").write_text("{}")
        done = cluster.store("put", cluster.root / "else", f"{STORE}/jobs/1/checkpoint-20.1")
        self.assertEqual(done.returncode, 0, done.stderr)
        cluster.up(checkpoints=STORE)
        found = cluster.wait(cluster.submit("second", "--ranks", 1))
        self.assertEqual(found["state"], "rejected")
        self.assertIn("give each coordinator a prefix of its own", found["message"])


if __name__ == "__main__":
    unittest.main()
