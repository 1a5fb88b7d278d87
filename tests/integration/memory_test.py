# SPDX-License-Identifier: Apache-2.0
"""The memory of a rank does not grow with the data: the same job on a cohort and on one 20 times as large."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import run_support as support

SMALL, FACTOR = 200, 20


class RankMemory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="anam-memory-"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root, ignore_errors=True)

    def make_cohort(self, name, subjects, *options):
        subprocess.run([str(support.BIN / "anamnesis-prep"), "synth", "--out", str(self.root / name), "--subjects",
                        str(subjects), *options], check=True, capture_output=True)
        return self.root / name

    def peak_kib(self, name, data, base):
        """The rank's peak resident memory after some steps; the run is then interrupted."""
        job = self.root / f"{name}.yaml"
        job.write_text(support.job_text(base, data, self.root / f"out-{name}", training_logging_steps=1,
                                        training_eval_steps=10_000, training_save_steps=10_000))
        run = support.LiveRun([str(support.BIN / "anamnesis-worker"), "run", "--task", "pretrain_llm", str(job),
                               "--data-dir", str(self.root / "cache"), "--ranks", "1"])
        try:
            run.wait_for("step 6/")
            [rank] = run.ranks()
            status = pathlib.Path(f"/proc/{rank}/status").read_text()
            os.kill(run.process.pid, signal.SIGINT)
            self.assertEqual(run.end(), 130)
        finally:
            run.close()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))

    def test_a_rank_grows_less_than_5_percent_on_20_times_the_data(self):
        small = self.make_cohort("small", SMALL)
        large = self.make_cohort("large", SMALL * FACTOR, "--no-base")
        base = small / "base"
        before = self.peak_kib("small", small, base)
        after = self.peak_kib("large", large, base)
        print(f"peak of a rank: {before} KiB, {after} KiB on {FACTOR} times the data")
        self.assertLess(after, before * 1.05)


if __name__ == "__main__":
    unittest.main()
