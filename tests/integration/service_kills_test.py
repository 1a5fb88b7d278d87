# SPDX-License-Identifier: Apache-2.0
"""Kills at random moments of a rank, of the worker, of the coordinator: the job ends with the same adapter, loses no
more steps than since the last checkpoint, and a coordinator that goes away costs the training nothing."""

import os
import random
import signal
import statistics
import time
import unittest

import service_support as support

SEED = int(os.environ.get("ANAMNESIS_KILL_SEED", random.SystemRandom().randrange(10**6)))
SAVE_STEPS = 20
# Steps of a tenth to a third of a second, more of them than any machine makes while five coordinators are killed: these
# jobs are cancelled.
ENDLESS = ("--set", "training.epochs=1000", "--set", "training.gradient_accumulation_steps=32", "--set",
           "training.save_steps=10")
service = None
golden = None
golden_endless = None  # its job: runs beside the first tests


def setUpModule():
    global service, golden, golden_endless
    print(f"seed {SEED}", flush=True)
    service = support.Service(slots=3)
    service.up()
    job = service.submit("golden", "--ranks", 1)
    golden = service.wait(job)
    assert golden["state"] == "succeeded", golden["message"]
    golden_endless = service.submit("endless", "--ranks", 1, *ENDLESS)


def tearDownModule():
    if service is not None:
        service.close()


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


class Kills(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(SEED)

    def run_with_kills(self, name, kills, pick):
        """Runs a 2-rank job in which `pick` names a process to kill `kills` times, at random moments of its steps."""
        job = service.submit(name, "--ranks", 2)
        total = service.wait_for_step(job, 1)["progress"]["total_steps"]
        for number in range(kills):
            # Somewhere in the stretch of the run that belongs to this kill, the attempt before being over.
            # The last steps are left out: the job must not end before its last kill.
            span = total - 14
            step = 1 + self.random.randrange(number * span // kills, (number + 1) * span // kills)
            support.wait_until(lambda: self.runs(job, number + 1, step), f"attempt {number + 1} reaches step {step}")
            self.assertTrue(kill(pick(job)))
        found = service.wait(job)
        self.assertEqual(found["state"], "succeeded", found["message"])
        self.assertEqual(found["final_sha256"], golden["final_sha256"])
        self.assertEqual(found["final_sha256"], support.adapter_sha256(found["output_dir"]))
        self.assertLessEqual(found["steps_executed"], total + kills * SAVE_STEPS)
        print(f"{name}: {len(found['attempts'])} attempts, {found['steps_executed']} of {total} steps", flush=True)
        return found

    def runs(self, job, attempt, step):
        found = service.get(job)
        self.assertNotIn(found["state"], support.TERMINAL, found["message"])
        last = found["attempts"][-1]
        return last["epoch"] == attempt and last["state"] == "running" and last["last_step"] >= step

    def test_ranks(self):
        found = self.run_with_kills("ranks", 10, lambda job: self.random.choice(service.ranks_of(job)))
        self.assertEqual(len(found["attempts"]), 11)
        # The other rank's process went on wherever there was a checkpoint to go on from.
        resumed = [attempt for attempt in found["attempts"] if attempt["resumed_step"] > 0]
        self.assertGreater(len(resumed), 5)
        for attempt in resumed:
            self.assertEqual(len(attempt["kept_ranks"]), 1, attempt)
        self.assertEqual(len({attempt["worker_pid"] for attempt in found["attempts"]}), 1)

    def test_worker(self):
        found = self.run_with_kills("workers", 5, service.worker_of)
        self.assertEqual(len(found["attempts"]), 6)

    def test_zz_coordinator(self):
        job = service.submit("coordinators", "--ranks", 2, *ENDLESS)
        service.wait_for_step(job, 1)
        away = []  # when nobody was there
        for _ in range(5):
            service.wait_for_step(job, service.get(job)["progress"]["step"] + 1)
            time.sleep(self.random.random())
            begin = time.time()
            service.kill()
            time.sleep(5)  # the fault itself
            service.up()
            away.append((begin, time.time()))
        step = self.commit_after(job, service.get(job)["progress"]["step"])
        self.commit_after(golden_endless, step - 1)
        for name in (job, golden_endless):
            service.cli("cancel", name, check=True)
        found = service.wait(job)
        self.assertEqual(found["state"], "cancelled", found["message"])
        folder = f"checkpoint-{step}/adapter_model.safetensors"
        self.assertEqual(support.sha256_of(service.root / "coordinators" / folder),
                         support.sha256_of(service.root / "endless" / folder))
        self.assertEqual(len(found["attempts"]), 1)
        self.assertEqual(found["attempts"][0]["reattached"], 5)
        self.assertEqual(found["steps_executed"], found["progress"]["step"])
        self.check_step_times(service.points(job), found, away)

    def commit_after(self, job, step):
        """The step of the first checkpoint that is committed after that step."""
        def committed():
            latest = service.get(job)["latest_checkpoint"]
            return latest and latest["step"] > step and latest["step"] // 10 * 10
        latest = support.wait_until(committed, f"{job} commits a step after {step}", 120)
        return min(latest, (step // 10 + 1) * 10)

    def check_step_times(self, points, found, away):
        steps = [point for point in points if "loss" in point["values"]]
        self.assertEqual([point["step"] for point in steps], list(range(1, found["progress"]["step"] + 1)))
        stamps = [support.seconds_of(point["time"]) for point in steps]
        seconds = [point["values"]["seconds"] for point in steps]
        within = lambda begin, end: [took for took, stamp in zip(seconds, stamps) if begin < stamp < end]
        # Each time compared with the moments before and after it, so that other work on the machine counts in both.
        ratios = [statistics.median(within(begin, end)) /
                  statistics.median(within(begin - 3, begin) + within(end + 0.5, end + 3)) for begin, end in away]
        alone = sum(len(within(begin, end)) for begin, end in away)
        print(f"coordinators: {len(steps)} steps, {alone} without a coordinator; step time with none / with one: "
              f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}; "
              f"longest gap {max(after - before for before, after in zip(stamps, stamps[1:])):.2f} s", flush=True)
        self.assertGreater(min(len(within(begin + 1, end)) for begin, end in away), 4)
        self.assertLess(statistics.median(ratios), 1.1)


if __name__ == "__main__":
    unittest.main()
