# SPDX-License-Identifier: Apache-2.0
"""What the service promises when things go wrong around it: a worker that was stopped and comes back, a coordinator that
is killed while clients submit, a disk that is full."""

import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

import run_support
import service_support as support

LENGTH = ("--set", "training.epochs=2")  # enough steps to be met in the middle of them


class StoppedWorkers(unittest.TestCase):
    def setUp(self):
        self.service = support.Service(slots=4)
        self.addCleanup(self.service.close)
        self.service.up()

    def stop(self, job):
        """Stops the job's worker once a checkpoint is there; its ranks go on and want to make others visible."""
        self.service.wait_for_step(job, 25)
        found = self.service.get(job)
        os.kill(found["attempts"][0]["worker_pid"], signal.SIGSTOP)
        return found["attempts"][0]["worker_pid"], self.service.ranks_of(job)

    def test_a_stopped_worker_is_replaced_and_its_late_writes_are_refused(self):
        service = self.service
        unbroken = service.submit("unbroken", "--ranks", 1, *LENGTH)
        jobs = {name: service.submit(name, "--ranks", ranks, *LENGTH) for name, ranks in (("continued", 2), ("frozen", 1))}
        workers, begin = {}, time.monotonic()
        for name, job in jobs.items():
            workers[name], ranks = self.stop(job)
            self.assertEqual(len(ranks), 2 if name == "continued" else 1)
            self.assertTrue(list((service.root / name).glob("checkpoint-*")))
        for name, job in jobs.items():
            found = service.wait_for_state(job, "recovering", 20)
            self.assertGreater(time.monotonic() - begin, 3.9, "a lease of 6 s, renewed every 2 s")
            self.assertEqual((found["reason"], found["attempts"][0]["state"], found["attempts"][0]["reason"],
                              len(found["attempts"])), ("lease_expired", "lost", "lease_expired", 1))
        late = support.wait_until(lambda: list((service.root / "continued").glob(".staging-1-*")),
                                  "a rank of the stopped worker has staged what it may not publish")
        committed = service.checkpoints(jobs["continued"])
        os.kill(workers["continued"], signal.SIGCONT)
        self.assertIsNotNone(run_support.wait_until_gone([workers["continued"]], 6), "it leaves by itself")
        self.assertTrue(run_support.is_alive(workers["frozen"]), "the other one is still to be killed")
        self.assertIn("is over", service.log(jobs["continued"]))
        expected = service.wait(unbroken)["final_sha256"]
        for name, job in jobs.items():
            found = service.wait(job)
            self.assertEqual(found["state"], "succeeded", found["message"])
            self.assertFalse(run_support.is_alive(workers[name]))
            self.check(found, expected)
        self.assertEqual([entry for entry in service.checkpoints(jobs["continued"]) if entry["epoch"] == 1], committed)
        self.assertFalse([path for path in late if path.exists()])

    def check(self, found, expected):
        """All that is in the folder comes from the second attempt, or was committed before the first was lost."""
        service, output = self.service, pathlib.Path(found["output_dir"])
        self.assertEqual([(attempt["epoch"], attempt["state"]) for attempt in found["attempts"]],
                         [(1, "lost"), (2, "succeeded")])
        lost, second = found["attempts"]
        self.assertNotEqual(lost["worker_pid"], second["worker_pid"])
        self.assertEqual((found["final_sha256"], support.adapter_sha256(output)), (expected, expected))
        self.assertEqual(run_support.read_json(output / "final_model/manifest.json")["attempt"], 2)
        self.assertFalse(list(output.glob(".staging-*")))
        entries = {entry["step"]: entry for entry in service.checkpoints(found["name"])}
        for path in output.glob("checkpoint-*"):
            manifest = run_support.read_json(path / "manifest.json")
            self.assertEqual(entries[manifest["step"]]["sha256"], run_support.sha256(path / "manifest.json"))
            self.assertEqual(entries[manifest["step"]]["epoch"], manifest["attempt"])
            self.assertEqual(manifest["attempt"], 1 if manifest["step"] <= second["resumed_step"] else 2)
        early = [entry for entry in entries.values() if entry["epoch"] == 1]
        self.assertTrue(early)
        for entry in early:
            self.assertLess(support.seconds_of(entry["commit_time"]), support.seconds_of(lost["end_time"]))


class Submits(unittest.TestCase):
    CLIENTS, EACH, KILLS = 8, 25, 5

    def test_none_is_lost_and_none_is_there_twice_while_the_coordinator_is_killed(self):
        service = support.Service(slots=1)
        self.addCleanup(service.close)
        service.up()
        first = service.submit("first", "--set", "training.epochs=4000")  # holds the slot
        config = service.config("many")
        acknowledged = {}

        def submit(number):
            done = service.cli("submit", "--task", "pretrain_llm", config, "--request-id", f"request-{number}", "--name",
                               f"request-{number}", "--set", f"training.output_dir={service.root}/many-{number}")
            if done.returncode != 0:
                raise AssertionError(f"submit {number}: exit {done.returncode}: {done.stderr}")
            acknowledged[number] = done.stdout.strip()

        total = self.CLIENTS * self.EACH
        with concurrent.futures.ThreadPoolExecutor(self.CLIENTS) as clients:
            waiting = [clients.submit(submit, number) for number in range(total)]
            for kill in range(self.KILLS):
                goal = (kill + 1) * total // (self.KILLS + 1)
                support.wait_until(lambda: len(acknowledged) >= goal, f"{goal} submits")
                service.kill()
                self.assertLess(len(acknowledged), total, "the kill was to come between submits")
                service.up()
            for each in waiting:
                each.result(timeout=60)
        self.assertEqual(len(set(acknowledged.values())), total)
        listed = json.loads(service.cli("list", "-o", "json", check=True).stdout)["jobs"]
        names = {job["display_name"]: job["name"] for job in listed}
        self.assertEqual(len(listed), total + 1)
        self.assertEqual(names, {f"request-{number}": name for number, name in acknowledged.items()} | {"": first})
        before = dict(acknowledged)
        for number in (0, total // 2, total - 1):  # asked again, the same request is the same job
            submit(number)
        self.assertEqual(acknowledged, before)
        done = service.cli("submit", "--task", "pretrain_llm", config, "--request-id", "request-0", "--set", "lora.r=8")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertEqual(len(service.get(first)["attempts"]), 1, "the job that ran went on")


@unittest.skipUnless(os.geteuid() == 0, "needs root to mount a small file system")
class FullDisk(unittest.TestCase):
    def mount(self, service, name, megabytes):
        path = service.root / name
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "anamnesis-test", path], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", path], check=True)
        return path

    def fill(self, folder):
        """Takes what is left; returns the file to remove."""
        ballast = folder / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 4096) == 4096:
                    pass
            except OSError:
                pass
        self.assertLess(shutil.disk_usage(folder).free, 4096)
        return ballast

    def test_a_checkpoint_that_finds_no_space(self):
        service = support.Service(slots=2)
        self.addCleanup(service.close)
        service.up()
        unbroken = service.submit("unbroken", *LENGTH)
        disk = self.mount(service, "disk", 16)
        job = service.submit("full", *LENGTH, "--set", f"training.output_dir={disk}/out")
        service.wait_for_step(job, 25)
        ballast = self.fill(disk)
        found = support.wait_until(lambda: self.failures(service, job, 4), "the disk was found full again and again", 30)
        self.assertEqual((found["state"], found["reason"]), ("recovering", "disk_full"))
        self.assertIn("No space left on device", found["message"])
        self.assertIn("free", found["message"], "what to do")
        self.assertIn("disk_full", service.cli("describe", job).stdout)
        latest = found["latest_checkpoint"]
        self.assertGreaterEqual(latest["step"], 20)
        verified = service.cli("checkpoint", "verify", latest["path"])
        self.assertEqual(verified.returncode, 0, verified.stderr)
        ballast.unlink()
        found = service.wait(job)
        self.assertEqual(found["state"], "succeeded", found["message"])
        expected = service.wait(unbroken)["final_sha256"]
        self.assertEqual((found["final_sha256"], support.adapter_sha256(disk / "out")), (expected, expected))
        self.assertFalse(list((disk / "out").glob(".staging-*")))

    def failures(self, service, job, count):
        found = service.get(job)
        if found["state"] in support.TERMINAL:
            raise AssertionError(f"{found['state']}: {found['message']}")
        failed = [attempt for attempt in found["attempts"] if attempt["reason"] == "disk_full"]
        return found if len(failed) >= count and found["state"] == "recovering" else None

    def test_a_full_data_directory(self):
        service = support.Service(slots=1)
        self.addCleanup(service.close)
        config = service.config("job")
        self.mount(service, "state", 4)
        service.up()
        ballast = self.fill(service.data_dir)
        done = service.cli("submit", "--task", "pretrain_llm", config)
        self.assertEqual((done.returncode, done.stdout), (75, ""), done.stderr)
        self.assertIn("full", done.stderr)
        self.assertIn(str(service.data_dir), done.stderr)
        self.assertEqual(json.loads(service.cli("list", "-o", "json", check=True).stdout)["jobs"], [])
        ballast.unlink()
        found = service.wait(service.submit("job"))
        self.assertEqual(found["state"], "succeeded", found["message"])
        self.assertEqual(found["name"], "jobs/1")


if __name__ == "__main__":
    unittest.main()
