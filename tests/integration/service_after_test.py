# SPDX-License-Identifier: Apache-2.0
"""submit --after: a job that follows another, with the model that this one writes as its base."""

import json
import subprocess
import unittest

import bert_support
import run_support
import service_support as support

CONFIG = run_support.SOURCE / "configs/jobs/fine-tune-bert.yaml"
LONG = ("--set", "training.epochs=400")
PRETRAIN = run_support.SOURCE / "configs/jobs/llm_pretrain.yaml"
SMALL_LLM = ("model.max_length=256", "training.epochs=1", "training.learning_rate=2e-3", "training.warmup_steps=1",
             "training.load_in_4bit=false", "training.bf16=false", "wandb.enabled=false", "training.logging_steps=1")


class After(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = support.Service(slots=2)
        cls.addClassCleanup(cls.service.close)
        cls.data = cls.service.root / "data"
        bert_support.write_cohort(cls.data, subjects=40)
        cls.base = cls.service.root / "base"
        bert_support.write_base(cls.base, cls.data)
        cls.service.up()

    def bert(self, name, base, *options):
        small = ("training.epochs=1", "training.batch_size=8", "wandb.enabled=false")
        return self.service.cli("submit", "--task", "finetune_bert", CONFIG, *bert_support.overrides(
            base, self.data, self.service.root / name, *small), *options)

    def submit(self, name, base, *options):
        done = self.bert(name, base, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_workflow_2_is_one_submission(self):
        cohort = self.service.root / "cohort"
        subprocess.run([run_support.BIN / "anamnesis", "synth", "--out", cohort, "--subjects", "40"], check=True,
                       capture_output=True, timeout=120)
        pretrained, tuned = self.service.root / "pretrained", self.service.root / "tuned"

        def submit(task, output, *options):
            words = bert_support.overrides(cohort / "base", cohort, output, *SMALL_LLM)
            return self.service.cli("submit", "--task", task, PRETRAIN, *words, *options, check=True).stdout.strip()

        first = submit("pretrain_llm", pretrained)
        second = submit("finetune_llm", tuned, "--after", first, "--set",
                        f"model.pretrained_checkpoint={pretrained / 'final_model'}")
        found = self.service.wait(second)
        self.assertEqual(found["state"], "succeeded", found["message"])

        def first_loss(output):
            history = run_support.read_json(output / "final_model/trainer_state.json")["log_history"]
            return next(row["loss"] for row in history if "loss" in row)

        self.assertLess(first_loss(tuned), first_loss(pretrained) - 0.1)

    def json(self, *words):
        return json.loads(self.service.cli(*words, "-o", "json", check=True).stdout)

    def test_the_model_that_the_first_job_writes_is_the_base_of_the_second(self):
        folder = self.service.root / "first"
        first = self.submit("first", self.base)
        self.assertFalse((folder / "config.json").exists(), "nothing at submit demands the base")
        second = self.submit("second", folder, "--after", first, "--request-id", "second")
        page = self.json("describe", second)
        self.assertEqual((page["after"], page["state"], page["attempts"]), (first, "queued", []))
        self.assertRegex(page["explanation"], f"waits for {first}, which is (queued|preparing|starting|running)")
        self.assertRegex(self.service.cli("explain", second).stdout, f"^{second}: waits for {first}, which is ")
        self.assertIn(f"After:         {first}\n", self.service.cli("describe", second).stdout)
        self.assertIn(first, self.service.cli("list", "-o", "wide").stdout.split(second, 1)[1].split("\n", 1)[0])
        self.service.kill()
        self.service.up()
        self.assertEqual(self.submit("second", folder, "--after", first, "--request-id", "second"), second)
        found = self.service.wait(second)
        self.assertEqual(found["state"], "succeeded", found["message"])
        ended = self.service.get(first)
        self.assertEqual(ended["state"], "succeeded")
        self.assertGreaterEqual(support.seconds_of(found["start_time"]), support.seconds_of(ended["end_time"]))
        self.assertEqual(run_support.read_json(folder / "config.json")["vocab_size"],
                         run_support.read_json(self.service.root / "second/config.json")["vocab_size"])
        self.assertEqual(self.submit("third", folder, "--after", first, "--wait"), "jobs/" + str(
            int(second.removeprefix("jobs/")) + 1), "one that has succeeded long since is followed at once")

    def test_a_job_is_cancelled_with_the_one_that_it_follows(self):
        first = self.submit("endless", self.base, *LONG)
        second = self.submit("never", self.service.root / "endless", "--after", first)
        third = self.submit("nor-this", self.service.root / "never", "--after", second)
        self.service.cli("cancel", first, "--grace", "0", check=True)
        done = self.service.cli("wait", third, "--timeout", "60s")
        self.assertEqual(done.returncode, 9)
        for job, followed in ((second, first), (third, second)):
            found = self.service.get(job)
            self.assertEqual((found["state"], found["reason"], found["attempts"]),
                             ("cancelled", "after_not_succeeded", []))
            self.assertEqual(found["message"], f"it was to follow {followed}, which is cancelled and not succeeded")
        self.assertIn("cancelled (after_not_succeeded): it was to follow",
                      self.service.cli("explain", third, check=True).stdout)
        self.assertFalse((self.service.root / "never").exists())
        late = self.bert("late", self.base, "--after", first)
        self.assertEqual(late.returncode, 5, late.stderr)
        self.assertIn(f"{first} is cancelled already", late.stderr)

    def test_the_waiting_job_alone_can_be_cancelled(self):
        first = self.submit("goes-on", self.base, *LONG)
        second = self.submit("not-wanted", self.base, "--after", first.removeprefix("jobs/"))
        self.service.cli("cancel", second, check=True)
        self.assertEqual(self.service.get(second)["reason"], "user_cancelled")
        self.assertNotIn(self.service.get(first)["state"], support.TERMINAL)
        self.service.cli("cancel", first, "--grace", "0", check=True)
        self.service.wait(first)

    def test_advice_knows_what_preparation_and_run_have_shown(self):
        short = self.service.root / "short_lookup.csv"
        lines = (self.data / "medical_lookup.csv").read_text(encoding="utf-8").splitlines()
        short.write_text("\n".join(lines[:3]) + "\n", encoding="utf-8")
        job = self.submit("advised", self.base, "--set", "model.max_length=16", "--set",
                          f"data.medical_lookup_filepath={short}", "--wait")
        found = self.service.get(job)
        self.assertGreater(found["data"]["truncated_token_share"], 0.3)
        self.assertGreater(found["data"]["train_documents"], 20)
        self.assertAlmostEqual(sum(found["data"]["class_shares"]), 1)
        self.assertLess(found["data"]["medical_coverage"], 0.6)
        self.assertGreater(found["data"]["lab_coverage"], 0.9)
        self.assertGreater(found["progress"]["evaluation_seconds"], 0)
        self.assertGreater(found["progress"]["train_seconds"], 0)
        page = self.service.cli("describe", job, check=True).stdout
        self.assertRegex(page, r": model.max_length: [0-9.]+ % of the tokens are cut off at 16;")
        self.assertRegex(page, r"warning: data.medical_lookup_filepath: has a term for [0-9.]+ % of the events")
        self.assertNotIn(": data.lab_lookup_filepath: ", page)

    def test_the_end_says_how_the_curves_are_sent(self):
        output = self.service.root / "curves"
        done = self.bert("curves", self.base, "--set", "wandb.enabled=true", "--follow")
        self.assertEqual(done.returncode, 0, done.stderr)
        job = done.stdout.strip()
        folder = self.service.get(job)["wandb_folder"]
        self.assertTrue(folder.startswith(f"{output}/wandb/offline-run-"), folder)
        self.assertIn(f"W&B: wandb sync '{folder}'", done.stderr)
        self.assertIn(f"wandb sync '{folder}'", self.service.cli("describe", job).stdout)

    def test_a_dry_run_looks_at_the_job_that_is_to_be_followed(self):
        absent = self.bert("dry", self.base, "--after", "jobs/4711", "--dry-run")
        self.assertEqual(absent.returncode, 3, absent.stderr)
        self.assertIn("there is no jobs/4711", absent.stderr)
        self.assertEqual(self.bert("dry", self.base, "--after", "jobs/4711").returncode, 3)
        self.assertEqual(self.bert("dry", self.base, "--after", "that one").returncode, 2)
        first = self.submit("dry-first", self.base)
        done = self.bert("dry", self.base, "--after", first, "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"starts after {first}; nothing was submitted", done.stdout)
        self.assertEqual(self.service.wait(first)["state"], "succeeded")


if __name__ == "__main__":
    unittest.main()
