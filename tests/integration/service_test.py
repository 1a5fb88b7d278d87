# SPDX-License-Identifier: Apache-2.0
"""The service as a user meets it: a job from submit to its adapter, every verb with -o json, metrics in a real
Prometheus, and the ways to steer a job or a coordinator."""

import json
import shutil
import socket
import subprocess
import unittest
import urllib.parse
import urllib.request

import run_support
import service_support as support

JOB_KEYS = {"name", "state", "reason", "task", "progress", "attempts", "steps_executed", "latest_checkpoint", "metrics",
            "output_dir"}
PROGRESS_KEYS = {"step", "total_steps", "epoch", "tokens", "eta_seconds"}
CHECKPOINT_KEYS = {"step", "path", "sha256"}


class MainPath(unittest.TestCase):
    """One job on mimic-demo-seed, looked at by every verb."""

    @classmethod
    def setUpClass(cls):
        if run_support.shared_data_is_absent():
            raise unittest.SkipTest("shared data absent")
        cls.service = support.Service(slots=2)
        cls.addClassCleanup(cls.service.close)
        root = cls.service.root
        run_support.write_base(root / "base")
        run_support.copy_data(root / "data", train_subjects=2, tuning_subjects=1)
        cls.service.up()
        cls.followed = cls.service.cli("submit", "--task", "pretrain_llm", cls.config("served"), "--ranks", 2, "--name",
                                       "first light", "--follow", timeout=120)
        if cls.followed.returncode != 0:
            raise AssertionError(cls.followed.stderr)
        cls.name = cls.followed.stdout.strip()
        cls.output = root / "served"

    @classmethod
    def config(cls, name):
        root = cls.service.root
        path = root / f"{name}.yaml"
        path.write_text(run_support.job_text(root / "base", root / "data", root / name, model_max_length=64,
                                             training_eval_steps=3, training_save_steps=3,
                                             training_gradient_accumulation_steps=2))
        return path

    def json(self, *words):
        return json.loads(self.service.cli(*words, "-o", "json", check=True).stdout)

    def test_follow_tells_the_way_on_stderr_and_the_name_on_stdout(self):
        self.assertEqual(self.followed.stdout, f"{self.name}\n")
        for words in ("preparing", "step 3/", "loss on tuning", "saved checkpoint-3", f"{self.name} succeeded"):
            self.assertIn(words, self.followed.stderr)
        self.assertNotIn("\x1b", self.followed.stderr)

    def test_the_adapter_is_that_of_run(self):
        job = self.config("run")
        done = subprocess.run([support.BIN / "anamnesis", "run", "--task", "pretrain_llm", job, "--ranks", "2",
                               "--threads-per-rank", "1", "--data-dir", self.service.root / "cache"],
                              capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        expected = support.adapter_sha256(self.service.root / "run")
        self.assertEqual(support.adapter_sha256(self.output), expected)
        self.assertEqual(self.json("get", self.name)["final_sha256"], expected)

    def test_get_and_list(self):
        job = self.json("get", self.name)
        self.assertLessEqual(JOB_KEYS, set(job))
        self.assertLessEqual(PROGRESS_KEYS, set(job["progress"]))
        self.assertLessEqual(CHECKPOINT_KEYS, set(job["latest_checkpoint"]))
        self.assertEqual((job["name"], job["display_name"], job["state"], job["reason"], job["task"]),
                         (self.name, "first light", "succeeded", "done", "pretrain_llm"))
        total = job["progress"]["total_steps"]
        self.assertGreater(total, 6)
        self.assertEqual((job["progress"]["step"], job["steps_executed"], job["progress"]["eta_seconds"]),
                         (total, total, 0))
        manifest = run_support.read_json(self.output / "final_model/manifest.json")
        self.assertEqual((manifest["step"], manifest["steps_executed"], manifest["tokens_trained"]),
                         (total, total, job["progress"]["tokens"]))
        self.assertEqual([attempt["state"] for attempt in job["attempts"]], ["succeeded"])
        self.assertLess(job["metrics"]["loss"], self.service.points(self.name)[0]["values"]["loss"])
        self.assertEqual(job["output_dir"], str(self.output))
        self.assertEqual([step["to"] for step in job["transitions"]],
                         ["queued", "preparing", "starting", "running", "succeeded"])
        listed = {entry["name"]: entry for entry in self.json("list")["jobs"]}
        self.assertLessEqual(JOB_KEYS, set(listed[self.name]))
        self.assertEqual(listed[self.name]["final_sha256"], job["final_sha256"])
        self.assertIn(self.name, self.service.cli("list", "--state", "succeeded", "-o", "name").stdout.split())
        self.assertEqual(self.json("list", "--state", "failed")["jobs"], [])
        self.assertEqual(self.service.cli("get", "jobs/4711").returncode, 3)

    def test_describe_and_wait(self):
        page = self.service.cli("describe", self.name, check=True).stdout
        for words in ("first light", "succeeded (done)", "Transitions:", "Checkpoints:", "max_length: 64"):
            self.assertIn(words, page)
        self.assertEqual(len(self.json("describe", self.name)["checkpoints"]), len(self.service.checkpoints(self.name)))
        done = self.service.cli("wait", self.name, "-o", "json")
        self.assertEqual((done.returncode, json.loads(done.stdout)["jobs"][0]["state"]), (0, "succeeded"))
        self.assertEqual(self.service.cli("wait", "jobs/4711").returncode, 3)

    def test_logs(self):
        log = self.service.cli("logs", self.name, check=True).stdout
        self.assertIn("saved final_model", log)
        self.assertEqual(log, self.service.log(self.name))
        self.assertEqual(self.service.cli("logs", self.name, "--rank", 1).returncode, 0)
        self.assertEqual(self.service.cli("logs", self.name, "--rank", 2).returncode, 3)

    def test_metrics(self):
        job, points = self.json("get", self.name), self.service.points(self.name)
        self.assertEqual([point["step"] for point in points], list(range(1, job["progress"]["total_steps"] + 1)))
        self.assertEqual(points[-1]["values"]["loss"], job["metrics"]["loss"])
        self.assertEqual(sum(point["values"]["tokens"] for point in points), job["progress"]["tokens"])
        stamps = [support.seconds_of(point["time"]) for point in points]
        self.assertEqual(stamps, sorted(set(stamps)), "each step has a moment of its own")
        lines = self.service.cli("metrics", self.name, "--name", "tuning_loss", "-o", "json", check=True).stdout
        evaluated = [json.loads(line)["step"] for line in lines.splitlines()]
        self.assertEqual(evaluated[:2], [3, 6])
        table = self.service.cli("metrics", self.name, check=True).stdout.splitlines()
        self.assertEqual((table[0].split()[:3], len(table)), (["STEP", "EPOCH", "LOSS"], len(points) + 1))

    def test_checkpoints(self):
        job, checkpoints = self.json("get", self.name), self.service.checkpoints(self.name)
        steps = [checkpoint["step"] for checkpoint in checkpoints]
        self.assertEqual(steps, sorted(steps, reverse=True))
        self.assertEqual(steps[-2:], [6, 3])
        for checkpoint in checkpoints:
            self.assertEqual(run_support.sha256(f"{checkpoint['path']}/manifest.json"), checkpoint["sha256"])
            self.assertEqual(self.service.cli("checkpoint", "verify", checkpoint["path"]).returncode, 0)
        self.assertEqual({key: job["latest_checkpoint"][key] for key in CHECKPOINT_KEYS},
                         {key: checkpoints[0][key] for key in CHECKPOINT_KEYS})
        copy = self.service.root / "damaged"
        shutil.copytree(checkpoints[0]["path"], copy)
        adapter = copy / "adapter_model.safetensors"
        content = bytearray(adapter.read_bytes())
        content[-1] ^= 1
        adapter.write_bytes(content)
        damaged = self.service.cli("checkpoint", "verify", copy)
        self.assertEqual(damaged.returncode, 6)
        self.assertIn("adapter_model.safetensors", damaged.stderr)


class Metrics(unittest.TestCase):
    QUERIES = ("anamnesis_jobs{state=\"running\"} == 1", "anamnesis_train_loss{job=\"%s\"} > 0",
               "anamnesis_train_steps_executed_total >= 40", "anamnesis_checkpoint_write_seconds_count >= 2")

    def setUp(self):
        self.service = support.Service(slots=1)
        self.addCleanup(self.service.close)
        self.service.up("--metrics", "127.0.0.1:0")
        self.address = self.service.note()["metrics_address"]

    def start_prometheus(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = self.service.root / "prometheus.yml"
        config.write_text("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
                          # Ours is the label `job` of a series; without this Prometheus would call it exported_job.
                          "scrape_configs: [{job_name: anamnesis, honor_labels: true, "
                          f"static_configs: [{{targets: ['{self.address}']}}]}}]\n")
        process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.service.root}/tsdb",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"], stdout=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return f"http://127.0.0.1:{port}/api/v1/query?"

    def query(self, base, text):
        try:
            with urllib.request.urlopen(base + urllib.parse.urlencode({"query": text}), timeout=5) as answer:
                return json.loads(answer.read())["data"]["result"]
        except OSError:  # it starts
            return []

    def test_prometheus_finds_the_job(self):
        base = self.start_prometheus()
        job = self.service.submit("scraped", "--set", "training.epochs=400")
        for text in self.QUERIES:
            text = text % job.removeprefix("jobs/") if "%s" in text else text
            rows = support.wait_until(lambda: self.query(base, text), f"Prometheus has {text}", 30)
            self.assertEqual(len(rows), 1, rows)
        self.assertEqual(self.query(base, "anamnesis_no_such_metric"), [])
        self.service.cli("cancel", job, "--grace", 0, check=True)
        self.service.wait(job)
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=5) as answer:
            text = answer.read()
        self.assertIn(b'anamnesis_jobs{state="cancelled"} 1', text)
        self.assertNotIn(b"anamnesis_train_loss{", text, "a job's series end with it")
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, b""))


class Usage(unittest.TestCase):
    def test_wrong_words_and_a_dead_coordinator_read_well(self):
        service = support.Service()
        self.addCleanup(service.close)
        for words, text in ((("submit", "--task", "pretrain_llm", "x.yaml", "--folow"), "--folow"),
                            (("list", "--state", "happy"), "happy"), (("frobnicate",), "frobnicate"),
                            (("get", "jobs/1 7"), "1 7"), (("wait", "1", "--timeout", "soon"), "soon")):
            done = service.cli(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertIn(text, done.stderr)
            self.assertIn("--help", done.stderr)
        for words in (("list",), ("get", "1"), ("logs", "1"), ("cancel", "1")):
            done = service.cli(*words)
            self.assertEqual((done.returncode, done.stdout), (75, ""), words)
            self.assertIn(f"{service.data_dir}/s", done.stderr)
            self.assertIn("anamnesis up", done.stderr)
        self.assertEqual(service.cli("down").returncode, 3)


class Rules(unittest.TestCase):
    def test_paths_outside_the_roots_are_refused(self):
        service = support.Service()
        self.addCleanup(service.close)
        inside = service.root / "allowed"
        inside.mkdir()
        link = inside / "link"
        link.symlink_to(service.root)
        config = service.config("outside")
        service.up("--root", inside, "--root", service.root / "cohort")
        submit = ("submit", "--task", "pretrain_llm", config, "--dry-run")
        for output in (service.root / "outside", inside / "../outside", link / "outside"):
            done = service.cli(*submit, "--set", f"training.output_dir={output}")
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertIn("training.output_dir", done.stderr)
        done = service.cli(*submit, "--set", f"training.output_dir={inside}/fine", "--set", "data.data_dir=/etc")
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("data.data_dir", done.stderr)
        done = service.cli(*submit, "--set", f"training.output_dir={inside}/fine")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("tip: training.learning_rate: 0.001 is outside 1e-05 to 0.0005", done.stderr)

    def test_two_live_jobs_never_share_an_output(self):
        service = support.Service(slots=1)
        self.addCleanup(service.close)
        service.up()
        job = service.submit("shared", "--set", "training.epochs=400")
        done = service.cli("submit", "--task", "pretrain_llm", service.config("shared"), "--set", "lora.r=8")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn(job, done.stderr)
        self.assertEqual(len(json.loads(service.cli("list", "-o", "json").stdout)["jobs"]), 1)
        service.cli("cancel", job, "--grace", 0, check=True)
        service.wait(job)
        second = service.submit("shared")
        self.assertNotEqual(second, job)


if __name__ == "__main__":
    unittest.main()
