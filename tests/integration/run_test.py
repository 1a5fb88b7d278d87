# SPDX-License-Identifier: Apache-2.0
"""`anamnesis run` with real ranks: equal bits on any number of them, kills, resumes, interrupts. Prints counts and
digests, never text of a data set."""

import json
import math
import os
import shutil
import signal
import subprocess
import unittest

import run_support as support

RANKS = (1, 2, 3, 4)
place = None


def setUpModule():
    global place
    if support.shared_data_is_absent():
        raise unittest.SkipTest("shared data absent")
    place = support.Workplace(train_subjects=10, tuning_subjects=2)


def tearDownModule():
    if place is not None:
        place.close()


class Reference:
    """One unbroken run on each number of ranks, made once."""

    runs = None

    @classmethod
    def get(cls):
        if cls.runs is None:
            cls.runs = {}
            for ranks in RANKS:
                job = place.job(f"ranks-{ranks}")
                done = place.run(job, "--ranks", str(ranks), "--threads-per-rank", "1")
                if done.returncode != 0:
                    raise AssertionError(f"{ranks} ranks: exit {done.returncode}\n{done.stderr}")
                output = place.root / f"ranks-{ranks}"
                cls.runs[ranks] = {"stderr": done.stderr, "output": output,
                                   "summary": support.read_json(output / ".anamnesis/summary.json"),
                                   "manifest": support.read_json(output / "final_model/manifest.json"),
                                   "sha256": support.sha256(output / "final_model/adapter_model.safetensors")}
        return cls.runs


class Ranks(unittest.TestCase):
    def test_any_number_of_ranks_gives_the_same_adapter(self):
        runs = Reference.get()
        self.assertEqual(len({run["sha256"] for run in runs.values()}), 1)

    def test_the_loss_falls(self):
        summary = Reference.get()[1]["summary"]
        self.assertLess(summary["last_loss"], summary["first_loss"] - 0.1)
        self.assertLess(summary["tuning_loss"], summary["first_loss"] - 0.1)

    def test_every_token_after_the_cut_is_trained_once(self):
        for run in Reference.get().values():
            summary = run["summary"]
            self.assertEqual(summary["tokens_trained"], summary["train"]["tokens"])
            self.assertEqual(summary["tokens"], summary["train"]["tokens"])
            self.assertEqual(run["manifest"]["tokens_trained"], summary["train"]["tokens"])
            self.assertEqual(sum(rank["tokens"] for rank in summary["ranks"]), summary["train"]["tokens"])

    def assert_even(self, ranks, lanes):
        """Tokens and CPU seconds in proportion to lanes. Tokens are exact; the CPU clock of a shared machine also counts
        what its neighbours do to the caches, so a run that was disturbed is measured again, at most twice."""
        for attempt in range(3):
            figures = Reference.get()[ranks]["summary"]["ranks"] if attempt == 0 else self.measure(ranks, attempt)
            shares = {key: [rank[key] / count for rank, count in zip(figures, lanes)] for key in ("tokens", "cpu_seconds")}
            self.assertLess(max(shares["tokens"]) / min(shares["tokens"]), 1.10, f"{ranks} ranks: {shares}")
            if max(shares["cpu_seconds"]) / min(shares["cpu_seconds"]) < 1.20:
                return
        self.fail(f"CPU seconds a lane of {ranks} ranks differ by 20 % or more: {shares}")

    def measure(self, ranks, attempt):
        name = f"measure-{ranks}-{attempt}"
        done = place.run(place.job(name), "--ranks", str(ranks), "--threads-per-rank", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        return support.read_json(place.root / name / ".anamnesis/summary.json")["ranks"]

    def test_no_rank_idles(self):
        self.assert_even(2, (8, 8))
        self.assert_even(4, (4, 4, 4, 4))

    def test_three_ranks_share_in_proportion_to_their_lanes(self):
        self.assert_even(3, (6, 5, 5))

    def test_the_manifest_says_what_was_done(self):
        run = Reference.get()[2]
        manifest = run["manifest"]
        self.assertEqual(manifest["splits_read"], ["train", "tuning"])
        self.assertEqual(manifest["engine"], "reference")
        self.assertEqual(manifest["step"], run["summary"]["total_steps"])
        self.assertEqual(manifest["steps_executed"], run["summary"]["total_steps"])
        self.assertEqual(manifest["bits_not_guaranteed"], "")
        self.assertEqual(manifest["cutoff_months"], 1)
        for name in ("base_model_sha256", "tokenizer_sha256", "shards_manifest_sha256", "subject_hashes_sha256",
                     "stream_digest"):
            self.assertRegex(manifest[name], "^[0-9a-f]{64}$")

    def test_the_end_says_what_to_do_next(self):
        stderr = Reference.get()[1]["stderr"]
        for words in ("first step after", "on tuning:", "tokens/s", "final_model", "next:"):
            self.assertIn(words, stderr)

    def test_held_out_is_never_opened(self):
        for kind in ("garbage", "dangling"):
            data = place.root / f"data-{kind}"
            support.copy_data(data, 2, 1, held_out=kind)
            done = place.run(place.job(f"held-out-{kind}", data=data), cache=place.root / f"cache-{kind}")
            self.assertEqual(done.returncode, 0, done.stderr)


class FastMode(unittest.TestCase):
    def test_a_fast_run_says_so_and_its_adapter_differs_in_rounding_alone(self):
        done = place.run(place.job("fast", training_determinism="fast"), "--ranks", "2", "--threads-per-rank", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        manifest = support.read_json(place.root / "fast/final_model/manifest.json")
        self.assertEqual(manifest["determinism"], "fast")
        summary, exact = support.read_json(place.root / "fast/.anamnesis/summary.json"), Reference.get()[2]
        self.assertLess(summary["last_loss"], summary["first_loss"] - 0.1)
        self.assertAlmostEqual(summary["last_loss"], exact["summary"]["last_loss"], delta=1e-3)
        self.assertEqual(exact["manifest"]["determinism"], "exact")
        ours = support.read_safetensors(place.root / "fast/final_model/adapter_model.safetensors")
        theirs = support.read_safetensors(exact["output"] / "final_model/adapter_model.safetensors")
        self.assertEqual({name: shape for name, (shape, _) in ours.items()},
                         {name: shape for name, (shape, _) in theirs.items()})
        for name, (_, values) in ours.items():
            self.assertTrue(all(map(math.isfinite, values)), name)


class Breaks(unittest.TestCase):
    def setUp(self):
        self.live = []

    def tearDown(self):
        for run in self.live:
            run.close()

    def start(self, job, *options):
        run = place.start(job, "--ranks", "2", "--threads-per-rank", "1", *options)
        self.live.append(run)
        return run

    def resume_and_compare(self, name, ranks="2"):
        done = place.run(place.root / f"{name}.yaml", "--resume", "--ranks", ranks, "--threads-per-rank", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        output = place.root / name
        self.assertEqual(support.sha256(output / "final_model/adapter_model.safetensors"), Reference.get()[1]["sha256"])
        summary = support.read_json(output / ".anamnesis/summary.json")
        manifest = support.read_json(output / "final_model/manifest.json")
        self.assertEqual(manifest["steps_executed"], summary["steps_executed"])
        self.assertLessEqual(summary["steps_executed"], summary["total_steps"] + 4)
        self.assertEqual(manifest["tokens_trained"], summary["train"]["tokens"])
        return done

    def test_a_killed_rank_is_named_and_the_run_resumes_to_the_same_bits(self):
        run = self.start(place.job("killed-rank"))
        run.wait_for("saved checkpoint-4")
        os.kill(run.ranks()[1], signal.SIGKILL)
        self.assertEqual(run.end(), 75)
        text = "".join(run.lines)
        self.assertIn("rank 1 was killed by signal 9", text)
        self.assertIn("--resume", text)
        self.resume_and_compare("killed-rank")

    def test_a_kill_of_everything_resumes_to_the_same_bits_on_other_ranks(self):
        run = self.start(place.job("killed-all"))
        run.wait_for("saved checkpoint-4")
        ranks = run.ranks()
        self.assertEqual(len(ranks), 2)
        for pid in [run.process.pid, *ranks]:
            os.kill(pid, signal.SIGKILL)
        run.end()
        self.resume_and_compare("killed-all", ranks="3")

    def test_a_resume_with_other_threads_says_that_the_bits_are_not_guaranteed(self):
        run = self.start(place.job("other-threads"))
        run.wait_for("saved checkpoint-4")
        for pid in [run.process.pid, *run.ranks()]:
            os.kill(pid, signal.SIGKILL)
        run.end()
        done = place.run(place.root / "other-threads.yaml", "--resume", "--ranks", "2", "--threads-per-rank", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        why = "threads per rank: 1 before, 2 now"
        self.assertIn(f"bits_not_guaranteed: {why}", done.stderr)
        summary = support.read_json(place.root / "other-threads/.anamnesis/summary.json")
        manifest = support.read_json(place.root / "other-threads/final_model/manifest.json")
        self.assertEqual(summary["bits_not_guaranteed"], why)
        self.assertEqual(manifest["bits_not_guaranteed"], why)
        self.assertEqual(manifest["step"], summary["total_steps"])
        self.assertAlmostEqual(summary["last_loss"], Reference.get()[2]["summary"]["last_loss"], delta=1e-3)

    def test_ranks_end_within_a_second_of_their_worker(self):
        run = self.start(place.job("killed-worker"))
        run.wait_for("first step after")
        ranks = run.ranks()
        os.kill(run.process.pid, signal.SIGKILL)
        seconds = support.wait_until_gone(ranks, 10)
        self.assertIsNotNone(seconds)
        self.assertLess(seconds, 1.0)
        run.end()

    def test_an_interrupt_saves_and_the_run_resumes_to_the_same_bits(self):
        run = self.start(place.job("interrupted"))
        run.wait_for("step 2/")
        os.kill(run.process.pid, signal.SIGINT)
        self.assertEqual(run.end(), 130)
        self.assertIn("continue:  anamnesis run", "".join(run.lines))
        self.resume_and_compare("interrupted", ranks="1")

    def test_a_run_beside_a_live_gang_is_refused(self):
        job = place.job("beside", training_epochs=50)
        run = self.start(job)
        run.wait_for("first step after")
        for options in (("--resume",), (), ("--set", "training.overwrite_output_dir=true")):
            done = place.run(job, *options)
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertIn("running gang" if options else "", done.stderr)
        self.assertIsNone(run.process.poll())

    def test_a_stopped_rank_is_killed_and_named(self):
        run = self.start(place.job("stopped", training_epochs=50), "--stall-seconds", "10")
        run.wait_for("first step after")
        os.kill(run.ranks()[1], signal.SIGSTOP)
        self.assertEqual(run.end(), 7)
        self.assertIn("rank 1 sent nothing for too long", "".join(run.lines))


class Merges(unittest.TestCase):
    def merge(self, adapter, out, *options):
        return subprocess.run([support.BIN / "anamnesis", "merge", adapter, "--out", out, *options],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_a_final_model_is_merged_into_its_base_and_no_other(self):
        run = Reference.get()[2]
        adapter, out = run["output"] / "final_model", place.root / "merged"
        done = self.merge(adapter, out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[-1], str(out))
        report = support.read_json(out / "merge.json")
        self.assertEqual(report["base_sha256"], run["manifest"]["base_model_sha256"])
        self.assertEqual(report["adapter_sha256"], run["sha256"])
        self.assertLessEqual(report["parity"]["relative"], report["parity"]["tolerance"])
        self.assertTrue((out / "tokenizer.json").exists())
        other = place.root / "other-base"
        shutil.copytree(place.base, other)
        config = support.read_json(other / "config.json") | {"rope_theta": 5e5}
        (other / "config.json").write_text(json.dumps(config))
        done = self.merge(adapter, place.root / "foreign", "--base", other)
        self.assertEqual(done.returncode, 6)
        self.assertIn("trained on another base", done.stderr)
        self.assertEqual(list(place.root.glob("foreign*")), [])

    def test_a_damaged_adapter_is_named(self):
        adapter = place.root / "damaged-adapter"
        shutil.copytree(Reference.get()[2]["output"] / "final_model", adapter)
        path = adapter / "adapter_model.safetensors"
        path.write_bytes(path.read_bytes()[:-4] + b"????")
        done = self.merge(adapter, place.root / "never")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("adapter_model.safetensors", done.stderr)
        self.assertFalse((place.root / "never").exists())


class Resumes(unittest.TestCase):
    def test_a_complete_run_stays_as_it_is(self):
        run = Reference.get()[2]
        done = place.run(place.root / "ranks-2.yaml", "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("complete already", done.stderr)
        self.assertEqual(support.sha256(run["output"] / "final_model/adapter_model.safetensors"), run["sha256"])

    def test_a_new_run_on_a_finished_one_is_refused(self):
        Reference.get()
        done = place.run(place.root / "ranks-2.yaml")
        self.assertEqual(done.returncode, 5)
        self.assertIn("--resume", done.stderr)
        self.assertIn("overwrite_output_dir", done.stderr)

    def test_a_changed_setting_is_named(self):
        Reference.get()
        for text, key in (("lora.r=8", "lora.r"), ("data.cutoff_months=2", "data.cutoff_months"),
                          ("model.max_length=128", "model.max_length")):
            done = place.run(place.root / "ranks-2.yaml", "--resume", "--set", text)
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertIn(key, done.stderr)

    def test_resume_of_nothing_starts_at_step_0_and_says_so(self):
        done = place.run(place.job("from-nothing"), "--resume", "--ranks", "2", "--threads-per-rank", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("starting at step 0", done.stderr)
        sha256 = support.sha256(place.root / "from-nothing/final_model/adapter_model.safetensors")
        self.assertEqual(sha256, Reference.get()[1]["sha256"])

    def test_a_damaged_checkpoint_is_skipped(self):
        source = Reference.get()[1]["output"]
        target = place.root / "damaged"
        shutil.copytree(source, target)
        shutil.rmtree(target / "final_model")
        newest = max(target.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
        adapter = newest / "adapter_model.safetensors"
        data = bytearray(adapter.read_bytes())
        data[-1] ^= 1
        adapter.write_bytes(data)
        job = place.job("damaged")
        done = place.run(job, "--resume", "--threads-per-rank", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("skipped a damaged checkpoint", done.stderr)
        self.assertEqual(support.sha256(target / "final_model/adapter_model.safetensors"), Reference.get()[1]["sha256"])


if __name__ == "__main__":
    unittest.main()
