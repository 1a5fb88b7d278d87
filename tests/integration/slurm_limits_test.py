# SPDX-License-Identifier: Apache-2.0
"""What Slurm ends by the clock: with a grace the workers save before their time limit and lose nothing, without one
the job says that it reached the limit and goes on from its last checkpoint. Slow: Slurm looks at limits twice a
minute."""

import unittest

import service_support as support
import slurm_support
from slurm_support import SlurmService

ENDLESS = ("--set", "training.epochs=1000", "--set", "training.save_steps=1000000")


class Limits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if slurm_support.absent():
            raise unittest.SkipTest("slurm absent")
        cls.cluster = slurm_support.Slurm(nodes=1)
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.start()

    def start(self, name, *engine):
        service = SlurmService(self.cluster, slots=1, ranks_per_node=1, engine=("poll=1", *engine))
        self.addCleanup(service.close)
        service.up()
        job = service.submit(name, "--ranks", 1, *ENDLESS)
        service.wait_for_step(job, 1)
        return service, job

    def test_the_grace_before_a_time_limit_saves(self):
        # Both at once: each takes as long as Slurm needs to look at the time.
        warned, saves = self.start("warned", "time_limit=30", "grace=60")
        surprised, loses = self.start("surprised", "time_limit=30", "grace=0")
        for service, job in ((warned, saves), (surprised, loses)):
            self.cluster.ask("scontrol", "update", f"JobId={service.slurm_job(job)}", "EndTime=now+10")
        with self.subTest("with a grace"):
            found = self.second_attempt(warned, saves)
            first, second = found["attempts"][:2]
            self.assertEqual(first["state"], "stopped", first["message"])
            self.assertEqual(second["resumed_step"], first["last_step"])  # saved at the very last step
        with self.subTest("without one"):
            found = self.second_attempt(surprised, loses)
            self.assertEqual(found["attempts"][0]["reason"], "time_limit", found["attempts"][0]["message"])
            self.assertIn("reached its time limit", found["attempts"][0]["message"])

    def second_attempt(self, service, job):
        def runs():
            found = service.get(job)
            self.assertNotIn(found["state"], support.TERMINAL, found["message"])
            return found if len(found["attempts"]) > 1 and found["attempts"][1]["last_step"] > 0 else None
        return support.wait_until(runs, f"{job} goes on in a second Slurm job", 120)


if __name__ == "__main__":
    unittest.main()
