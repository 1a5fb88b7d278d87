# SPDX-License-Identifier: Apache-2.0
"""The ways to steer a job and a coordinator: interrupt, pause, cancel, park, detach. However a job is stopped, it goes on
to the adapter of a job that never was."""

import os
import signal
import subprocess
import unittest

import run_support
import service_support as support


class Steering(unittest.TestCase):
    LENGTH = ("--ranks", 1, "--set", "training.epochs=2")

    @classmethod
    def setUpClass(cls):
        cls.service = support.Service(slots=2)
        cls.addClassCleanup(cls.service.close)
        cls.service.up()
        cls.golden = None

    def expected(self):
        """The SHA-256 of an unbroken job."""
        if Steering.golden is None:
            found = self.service.wait(self.service.submit("golden", *self.LENGTH))
            self.assertEqual(found["state"], "succeeded", found["message"])
            Steering.golden = found["final_sha256"]
        return Steering.golden

    def assert_ends_as_unbroken(self, job):
        found = self.service.wait(job)
        self.assertEqual(found["state"], "succeeded", found["message"])
        self.assertEqual(found["final_sha256"], self.expected())
        self.assertEqual(found["steps_executed"], found["progress"]["total_steps"], "a clean stop loses no step")
        return found

    def test_an_interrupted_follow_leaves_the_job(self):
        service = self.service
        follow = service.start("submit", "--task", "pretrain_llm", service.config("golden"), *self.LENGTH, "--follow")
        job = follow.stdout.readline().strip()
        service.wait_for_step(job, 5)
        follow.send_signal(signal.SIGINT)
        out, err = follow.communicate(timeout=10)
        self.assertEqual((follow.returncode, out), (130, ""))
        self.assertIn(f"{job} goes on", err)
        found = service.wait(job)
        self.assertEqual(found["state"], "succeeded", found["message"])
        self.assertEqual(len(found["attempts"]), 1)
        Steering.golden = found["final_sha256"]

    def test_pause_and_resume(self):
        service = self.service
        job = service.submit("paused", *self.LENGTH)
        service.wait_for_step(job, 25)
        service.cli("pause", job, check=True)
        found = service.wait_for_state(job, "paused")
        self.assertEqual(found["reason"], "user_paused")
        self.assertEqual(found["latest_checkpoint"]["step"], found["progress"]["step"])
        worker = found["attempts"][0]["worker_pid"]
        self.assertIsNotNone(run_support.wait_until_gone([worker], 5), "a paused job holds no process")
        self.assertEqual(service.cli("pause", job).returncode, 5)
        service.cli("resume", job, check=True)
        found = self.assert_ends_as_unbroken(job)
        self.assertEqual([attempt["state"] for attempt in found["attempts"]], ["stopped", "succeeded"])
        self.assertEqual(found["attempts"][1]["resumed_step"], found["attempts"][0]["last_step"])

    def test_cancel_keeps_the_last_checkpoint(self):
        service = self.service
        job = service.submit("cancelled", *self.LENGTH)
        service.wait_for_step(job, 25)
        service.cli("cancel", job, check=True)
        done = service.cli("wait", job)
        self.assertEqual(done.returncode, 9)
        self.assertIn(f"{job} cancelled: saved at step", done.stdout)
        found = service.get(job)
        self.assertEqual(found["latest_checkpoint"]["step"], found["progress"]["step"])
        self.assertLess(found["progress"]["step"], found["progress"]["total_steps"])
        self.assertEqual(service.cli("checkpoint", "verify", found["latest_checkpoint"]["path"]).returncode, 0)
        self.assertFalse((service.root / "cancelled/final_model").exists())
        self.assertEqual(service.cli("cancel", job).returncode, 5)
        self.assertEqual(service.get(job)["state"], "cancelled")

    def test_a_second_coordinator_is_refused(self):
        second = subprocess.run([support.BIN / "anamnesis", "up", "--slots", "1"], env=self.service.environment,
                                capture_output=True, text=True, timeout=30)
        self.assertEqual(second.returncode, 5)
        self.assertIn(str(self.service.data_dir), second.stderr)
        self.assertTrue(self.service.answers())

    def park(self, job, end):
        """Ends the coordinator by `end` while the job runs, and starts another."""
        service = self.service
        service.wait_for_step(job, 25)
        coordinator = service.process
        end()
        self.assertEqual(coordinator.wait(timeout=30), 0)
        self.assertEqual(service.cli("list").returncode, 75)
        steps = [int(path.name.split("-")[1]) for path in (service.root / "parked").glob("checkpoint-*")]
        self.assertGreaterEqual(max(steps), 25)
        service.up()
        found = service.get(job)
        attempt = found["attempts"][-2 if found["attempts"][-1]["state"] != "stopped" else -1]
        self.assertEqual((attempt["state"], attempt["reason"], attempt["last_step"]), ("stopped", "parked", max(steps)))

    def test_the_first_interrupt_parks_and_the_next_coordinator_goes_on(self):
        job = self.service.submit("parked", *self.LENGTH)
        self.park(job, lambda: self.service.process.send_signal(signal.SIGINT))
        found = self.assert_ends_as_unbroken(job)
        self.assertIn(("running", "queued", "parked"),
                      [(step["from"], step["to"], step["reason"]) for step in found["transitions"]])

    def test_down_parks_and_says_when_it_is_done(self):
        job = self.service.submit("parked", *self.LENGTH)
        ended = []
        self.park(job, lambda: ended.append(self.service.cli("down")))
        self.assertEqual(ended[0].returncode, 0, ended[0].stderr)
        self.assertIn("has ended", ended[0].stderr)
        self.assert_ends_as_unbroken(job)

    def test_a_second_interrupt_kills(self):
        service = support.Service(slots=1)
        self.addCleanup(service.close)
        service.up()
        job = service.submit("killed", "--set", "training.epochs=400")
        service.wait_for_step(job, 1)
        worker, ranks = service.worker_of(job), service.ranks_of(job)
        self.assertEqual(len(ranks), 1)
        os.kill(ranks[0], signal.SIGSTOP)  # so that it cannot save before the second signal comes
        service.process.send_signal(signal.SIGINT)
        support.wait_until(lambda: "stopping" in service.log(job), "the worker was told to stop")
        self.assertIsNone(service.process.poll())
        service.process.send_signal(signal.SIGINT)
        self.assertEqual(service.process.wait(timeout=10), 0)
        self.assertIsNotNone(run_support.wait_until_gone([worker], 2))
        os.kill(ranks[0], signal.SIGCONT)
        self.assertIsNotNone(run_support.wait_until_gone(ranks, 5))


class Detached(unittest.TestCase):
    def test_it_survives_the_session_that_started_it(self):
        service = support.Service(slots=1)
        self.addCleanup(service.close)
        # A shell that leads a session of its own and ends by a hang-up of its whole process group.
        shell = subprocess.run(["setsid", "--wait", "sh", "-c",
                                "\"$0\" up --slots 1 --detach --data-dir \"$1\" && kill -HUP 0",
                                support.BIN / "anamnesis", service.data_dir], env=service.environment,
                               capture_output=True, text=True, timeout=30)
        self.assertIn("serves at", shell.stderr)
        self.assertTrue(service.answers())
        pid = service.note()["pid"]
        self.assertEqual(os.getsid(pid), pid)
        self.assertEqual({os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)}, {"/dev/null"})
        again = subprocess.run([support.BIN / "anamnesis", "up", "--detach"], env=service.environment,
                               capture_output=True, text=True, timeout=30)
        self.assertEqual(again.returncode, 5, "the reason of a failed start reaches the caller")
        self.assertIn("runs already", again.stderr)
        job = service.submit("detached")
        self.assertEqual(service.wait(job)["state"], "succeeded")
        self.assertEqual(service.cli("down").returncode, 0)
        self.assertFalse(run_support.is_alive(pid))


if __name__ == "__main__":
    unittest.main()
