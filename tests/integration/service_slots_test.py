# SPDX-License-Identifier: Apache-2.0
"""The slots of a node: cordon and drain, GPUs that somebody else uses (on a library that stands in for the driver's), and
ranks that stay on their CPUs."""

import json
import os
import signal
import subprocess
import sys
import unittest

import service_support as support

STAND_IN = support.BIN.parent / "stand_in"
LONG = ("--set", "training.epochs=2")


class Slots(unittest.TestCase):
    def setUp(self):
        self.service = support.Service(slots=2)
        self.addCleanup(self.service.close)
        self.service.synth()

    def node(self, *words, **options):
        """What `node ...` says of the only node."""
        done = self.service.cli("node", *words, "-o", "json", check=True, **options)
        return json.loads(done.stdout)["nodes"][0]

    def explain(self, job):
        return self.service.cli("explain", job, check=True).stdout

    def test_a_cordon_keeps_jobs_away_and_a_drain_lets_them_save(self):
        service = self.service
        service.up()
        self.assertEqual(self.node("list")["state"], "ready")
        runs = service.submit("runs", *LONG)
        service.wait_for_step(runs, 5)
        cordoned = self.node("cordon", "--message", "new GPU on Friday")
        self.assertEqual((cordoned["state"], cordoned["cordon"]["message"]), ("cordoned", "new GPU on Friday"))
        waits = service.submit("waits", *LONG)
        self.assertIn("the node is cordoned by user: new GPU on Friday; it starts after anamnesis node uncordon",
                      self.explain(waits))
        at = service.get(runs)["progress"]["step"]
        service.wait_for_step(runs, at + 2)  # what runs goes on
        table = service.cli("node", "list", check=True).stdout
        self.assertIn("cordoned", table)
        self.assertIn(runs, table)

        drained = self.node("drain", cordoned["name"])
        self.assertEqual(drained["state"], "drained")
        self.assertEqual([slot["job"] for slot in drained["slots"]], ["", ""])
        found = service.get(runs)
        self.assertEqual((found["state"], found["reason"]), ("queued", "drained"))
        self.assertIn("saved at step", found["message"])
        # It lasts: also over a kill of the coordinator.
        service.kill()
        service.up()
        self.assertEqual(self.node("list")["state"], "drained")
        self.assertEqual([service.get(job)["state"] for job in (runs, waits)], ["queued", "queued"])
        self.assertEqual(self.node("uncordon")["state"], "ready")
        results = [service.wait(job) for job in (runs, waits)]
        self.assertEqual([found["state"] for found in results], ["succeeded", "succeeded"])
        self.assertEqual(len({found["final_sha256"] for found in results}), 1, "the drain cost no bit")
        self.assertGreater(results[0]["attempts"][1]["resumed_step"], 0)
        self.assertEqual(len(results[1]["attempts"]), 1)

    def test_a_wrong_name_and_a_wait_that_is_over(self):
        service = self.service
        service.up()
        for verb in ("cordon", "uncordon", "drain"):
            done = service.cli("node", verb, "nodes/elsewhere")
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertIn("no such node; there is nodes/", done.stderr)
        job = service.submit("slow", *LONG)
        service.wait_for_state(job, "running")
        (rank,) = service.ranks_of(job)
        os.kill(rank, signal.SIGSTOP)  # it cannot save
        done = service.cli("node", "drain", "--timeout", "300ms")
        os.kill(rank, signal.SIGCONT)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("it goes on draining", done.stderr)
        support.wait_until(lambda: self.node("list")["state"] == "drained", "it is drained")

    def test_ranks_stay_on_cpus_of_their_own(self):
        service = self.service
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            self.skipTest("needs two CPUs")
        service.up("--pin-cpus")
        job = service.submit("pinned", "--ranks", 2, *LONG)
        service.wait_for_step(job, 1)
        self.assertEqual(sorted(sorted(os.sched_getaffinity(pid)) for pid in service.ranks_of(job)), [cpus[:1], cpus[1:2]])
        self.assertEqual(sorted(os.sched_getaffinity(service.worker_of(job))), cpus[:2])

    def test_a_job_that_takes_more_than_its_share_is_ended_and_not_tried_again(self):
        service = self.service
        service.up("--memory-per-slot", "50M", wait=False)
        support.wait_until(lambda: service.answers() or service.process.poll() is not None, "it answers, or ends")
        if service.process.poll() is not None:
            self.assertIn("--memory-per-slot", (service.root / "up.log").read_text())
            self.skipTest("no control group can be made here")
        found = service.wait(service.submit("large"))
        self.assertEqual((found["reason"], len(found["attempts"])), ("out_of_memory", 1), found["message"])
        self.assertIn("memory limit of its control group", found["message"])
        self.assertTrue(service.answers(), "nobody else is touched")
        service.kill()
        service.up("--memory-per-slot", "4G")
        found = service.wait(service.submit("fits"))
        self.assertEqual(found["state"], "succeeded", found["message"])

    def test_more_than_the_machine_has_is_refused_at_the_start(self):
        for words, text in ((("--pin-cpus", "--slots", "4000"), "4000 slots x 1 threads need 4000 CPUs"),
                            (("--device", "cuda"), "no NVIDIA driver here")):
            done = subprocess.run([support.BIN / "anamnesis", "up", *words], env=self.service.environment,
                                  capture_output=True, text=True, timeout=30)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(text, done.stderr)


class Gpus(unittest.TestCase):
    def setUp(self):
        self.service = support.Service(slots=1)
        self.addCleanup(self.service.close)
        self.service.synth()
        self.gpus = self.service.root / "gpus"
        self.service.environment.update(LD_LIBRARY_PATH=str(STAND_IN), STAND_IN_NVML=str(self.gpus))

    def see(self, line):
        fresh = self.gpus.with_suffix(".new")
        fresh.write_text(line + "\n")
        fresh.rename(self.gpus)

    def test_a_gpu_that_somebody_uses_is_no_free_slot(self):
        service = self.service
        somebody = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, start_new_session=True)
        self.addCleanup(somebody.communicate)
        self.see(f"GPU-0a1b2c3d H200 143771 100000 {somebody.pid}:43771")
        service.up("--device", "cuda")
        job = service.submit("waits")
        found = service.get(job)
        self.assertEqual(found["state"], "queued")
        self.assertIn(f"slot 0: GPU 0 (H200) is used by pid {somebody.pid} (python", found["explanation"])
        self.assertIn("42.7 GiB", found["explanation"])
        table = service.cli("node", "list", check=True).stdout
        self.assertIn(f"is used by pid {somebody.pid}", table)
        self.assertIn("cuda", table)

        self.see("GPU-0a1b2c3d H200 143771 100000")
        support.wait_until(lambda: "no process says who has the rest" in service.get(job)["explanation"], "it is seen")
        # Free: the job is placed, with this GPU for its rank. There is no CUDA to train with, and it says so.
        self.see("GPU-0a1b2c3d H200 143771 143000")
        found = service.wait(job)
        self.assertEqual(found["attempts"][0]["slots"], [0])
        plan = json.loads((service.root / "waits/.anamnesis/plan-rank-0.json").read_text())
        self.assertEqual(plan["gang"]["device"], "cuda")
        self.assertIn(found["state"], ("failed", "rejected"))
        self.assertRegex(found["message"], "(?i)cuda")

    def test_a_gpu_that_is_lost_says_so(self):
        service = self.service
        self.see("GPU-0a1b2c3d H200 143771 143000 0:0")
        done = subprocess.run([support.BIN / "anamnesis", "up", "--device", "cuda"], env=service.environment,
                              capture_output=True, text=True, timeout=30)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("GPU 0: GPU is lost", done.stderr)
        self.see("GPU-0a1b2c3d H200 143771 143000")
        service.up("--device", "cuda")
        self.see("GPU-0a1b2c3d H200 143771 143000 0:0")
        support.wait_until(lambda: "GPU is lost" in service.cli("node", "list").stdout, "it is seen")
        self.assertIn("GPU is lost", service.get(service.submit("waits"))["explanation"])


if __name__ == "__main__":
    unittest.main()
