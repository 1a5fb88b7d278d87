# SPDX-License-Identifier: Apache-2.0
"""Jobs through a real Slurm: a gang of two nodes trains what this machine alone trains, and what Slurm, its
administrator and its users may do to a job has a state, a reason and a way on."""

import os
import pathlib
import shutil
import subprocess
import unittest

import service_support as support
import slurm_support
from slurm_support import SlurmService

GANG = ("--ranks", 4)  # two on each node
# More steps than are made before a test is through with the job.
ENDLESS = ("--set", "training.epochs=1000", "--set", "training.save_steps=5")
SOURCE = pathlib.Path(os.environ["ANAMNESIS_SOURCE_DIR"])
cluster = None
service = None
golden = None  # SHA-256 of the adapter that one rank makes here


def setUpModule():
    global cluster, service, golden
    if slurm_support.absent():
        raise unittest.SkipTest("slurm absent")
    try:
        local = support.Service(slots=1)
        local.up()
        found = local.wait(local.submit("golden"))
        assert found["state"] == "succeeded", found["message"]
        golden = found["final_sha256"]
        local.stop()
        cluster = slurm_support.Slurm()
        cluster.start()
        service = SlurmService(cluster)
        shutil.move(local.root / "cohort", service.root / "cohort")
        local.close()
        service.up()
    except BaseException:
        tearDownModule()
        raise


def tearDownModule():
    if service is not None:
        service.close()
    if cluster is not None:
        cluster.close()


class SlurmTest(unittest.TestCase):
    def tearDown(self):
        if any(error for _, error in getattr(self._outcome, "errors", []) or []):
            print(cluster.logs(), (service.root / "up.log").read_text()[-4000:], flush=True)

    def finish(self, job, attempts=None):
        found = service.wait(job)
        self.assertEqual(found["state"], "succeeded", found["message"])
        self.assertEqual(found["final_sha256"], golden)
        self.assertEqual(found["final_sha256"], support.adapter_sha256(found["output_dir"]))
        if attempts is not None:
            self.assertEqual(len(found["attempts"]), attempts, [attempt["message"] for attempt in found["attempts"]])
        return found

    def waits_with(self, job, words, state="preparing"):
        """Until the job is in that state and says why."""
        def says():
            found = service.get(job)
            self.assertNotIn(found["state"], support.TERMINAL, found["message"])
            told = service.cli("describe", job, check=True).stdout
            return found["state"] == state and words in told
        support.wait_until(says, f"{job} is {state} and says {words}")

    def cancel(self, job):
        service.cli("cancel", job, "--grace", "0s", check=True)
        service.wait(job)
        support.wait_until(lambda: all(fields["JobState"] not in ("RUNNING", "PENDING", "COMPLETING")
                                       for fields in service.slurm_jobs(job).values()), "Slurm has let go of it")


class Runs(SlurmTest):
    def test_a_gang_of_two_nodes_makes_the_adapter_of_one_rank(self):
        job = service.submit("gang", *GANG)
        found = self.finish(job, attempts=1)
        support.wait_until(lambda: slurm_support.ended(service.slurm_jobs(job)[service.slurm_job(job)]), "Slurm's job ends")
        fields = service.slurm_jobs(job)[service.slurm_job(job)]
        self.assertEqual((fields["NumNodes"], fields["JobState"], fields["Requeue"]), ("2", "COMPLETED", "0"),
                         service.log(job))
        self.assertEqual(fields["Comment"], fields["JobName"])
        self.assertEqual(found["steps_executed"], found["progress"]["total_steps"])

    def test_no_secret_is_in_slurm(self):
        job = service.submit("secret", *GANG, *ENDLESS)
        service.wait_for_step(job, 1)
        files = sorted((service.data_dir / "jobs" / job.removeprefix("jobs/")).glob("slurm-*"))
        self.assertEqual([path.suffix for path in files], [".sh", ".token"])
        for path in files:
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        token = files[1].read_text().strip()
        self.assertGreater(len(token), 32)
        number = service.slurm_job(job)
        said = cluster.ask("scontrol", "show", "job", number) + cluster.ask("scontrol", "write", "batch_script", number,
                                                                            "-")
        self.assertNotIn(token, said)
        for pid in cluster.processes():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as words, open(f"/proc/{pid}/environ", "rb") as names:
                    self.assertNotIn(token.encode(), words.read() + names.read())
            except OSError:
                pass
        self.cancel(job)
        support.wait_until(lambda: not list(files[0].parent.glob("slurm-*")), "the attempt's files are removed")

    def test_cancel_ends_it_in_slurm(self):
        job = service.submit("cancelled", *GANG, *ENDLESS)
        service.wait_for_step(job, 1)
        service.cli("cancel", job, check=True)
        found = service.wait(job)
        self.assertEqual((found["state"], found["reason"]), ("cancelled", "user_cancelled"))
        self.assertIsNotNone(found["latest_checkpoint"])  # it had the grace to save
        support.wait_until(lambda: service.slurm_jobs(job)[service.slurm_job(job)]["JobState"] == "COMPLETED",
                           "its Slurm job ends")

    def test_one_that_waits_says_for_what_and_is_cancelled(self):
        blocker = cluster.ask("sbatch", "--parsable", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap",
                              "sleep 1000")
        try:
            job = service.submit("waits", *GANG)
            self.waits_with(job, "Resources")
            number = service.slurm_job(job)
            service.cli("cancel", job, check=True)
            self.assertEqual(service.wait(job)["state"], "cancelled")
            support.wait_until(lambda: cluster.jobs()[number]["JobState"] == "CANCELLED", "Slurm has forgone it")
        finally:
            cluster.ask("scancel", blocker)


class Administrators(SlurmTest):
    def test_a_drained_node_is_waited_for(self):
        cluster.ask("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=a test")
        try:
            job = service.submit("drained", *GANG)
            self.waits_with(job, "ReqNodeNotAvail")
        finally:
            cluster.ask("scontrol", "update", "NodeName=n1", "State=RESUME")
        self.finish(job, attempts=1)

    def test_a_running_job_outlives_a_drain(self):
        job = service.submit("draining", *GANG)
        service.wait_for_step(job, 1)
        cluster.ask("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=a test")
        try:
            self.finish(job, attempts=1)
        finally:
            cluster.ask("scontrol", "update", "NodeName=n1", "State=RESUME")

    def test_a_requeue_goes_on_as_a_new_slurm_job(self):
        job = service.submit("requeued", *GANG)
        service.wait_for_step(job, 25)
        number = service.slurm_job(job)
        refused = cluster.run("scontrol", "requeue", number)
        self.assertNotEqual(refused.returncode, 0)  # the coordinator starts attempts, Slurm does not
        cluster.ask("scontrol", "update", f"JobId={number}", "Requeue=1")
        cluster.ask("scontrol", "requeue", number)
        found = self.finish(job)
        self.assertGreater(len(found["attempts"]), 1)
        self.assertGreater(found["attempts"][-1]["resumed_step"], 0)
        self.assertGreater(service.slurm_job(job), number)
        support.wait_until(lambda: cluster.jobs()[number]["JobState"] in ("CANCELLED", "FAILED", "COMPLETED"),
                           "the requeued one is gone")

    def test_somebody_elses_scancel_ends_the_job(self):
        job = service.submit("scancelled", *GANG, *ENDLESS)
        service.wait_for_step(job, 1)
        cluster.ask("scancel", service.slurm_job(job))
        found = service.wait(job)
        self.assertEqual((found["state"], found["reason"]), ("failed", "engine_cancelled"), found["message"])
        self.assertIn("cancelled by somebody else", found["message"])

    def test_a_preempted_job_goes_on_later(self):
        job = service.submit("preempted", *GANG)
        service.wait_for_step(job, 25)
        urgent = cluster.ask("sbatch", "--parsable", "--partition=urgent", "--exclusive", "--nodes=2",
                             "--output=/dev/null", "--wrap", "sleep 1000")
        try:
            self.waits_with(job, "Resources")
        finally:
            cluster.ask("scancel", urgent)
        found = self.finish(job)
        self.assertIn("preempted", {attempt["reason"] for attempt in found["attempts"]})


class Faults(SlurmTest):
    def test_a_lost_node_costs_the_steps_since_the_last_checkpoint(self):
        job = service.submit("node_lost", *GANG)
        service.wait_for_step(job, 25)
        cluster.lose_node("n1")
        support.wait_until(lambda: "down" in cluster.node_states()[1], "Slurm misses the node")
        cluster.start_node("n1")
        found = self.finish(job)
        self.assertGreater(found["attempts"][-1]["resumed_step"], 0)
        self.assertLessEqual(found["steps_executed"], found["progress"]["total_steps"] + 20 * (len(found["attempts"]) - 1))

    def test_a_restart_of_slurmctld_costs_no_job(self):
        job = service.submit("restart", *GANG)
        service.wait_for_step(job, 1)
        cluster.stop_controller()
        service.wait_for_step(job, 20)
        cluster.start_controller()
        self.finish(job)  # a slurmctld that did not save its state may have put it back

    def test_without_slurmctld_a_job_stays_queued_and_says_so(self):
        cluster.stop_controller()
        try:
            job = service.submit("unreachable", *GANG)
            self.waits_with(job, "Unable to contact slurm controller", state="queued")
        finally:
            cluster.start_controller()
        self.finish(job, attempts=1)

    def test_one_that_slurm_forgot_is_started_again(self):
        job = service.submit("forgotten", *GANG)
        service.wait_for_step(job, 25)
        number = service.slurm_job(job)
        cluster.stop_controller()
        cluster.forget_everything()
        slurm_support.kill_all(lambda: cluster.processes_of(number))
        cluster.start_controller()
        found = self.finish(job)
        self.assertGreater(len(found["attempts"]), 1)

    def test_a_coordinator_that_was_away_finds_its_jobs(self):
        running = service.submit("away", *GANG)
        service.wait_for_step(running, 1)
        waiting = service.submit("behind", *GANG)
        service.kill()
        tag = next(iter(service.slurm_jobs(running).values()))["JobName"]
        identity = tag.rsplit("-", 1)[1]
        orphan = cluster.ask("sbatch", "--parsable", "--hold", "--output=/dev/null",
                             f"--job-name=anamnesis-999-1-{identity}", "--wrap", "true")
        foreign = cluster.ask("sbatch", "--parsable", "--hold", "--output=/dev/null",
                              "--job-name=anamnesis-999-1-0123456789abcdef", "--wrap", "true")
        service.up()
        found = self.finish(running, attempts=1)
        self.assertEqual(found["attempts"][0]["reattached"], 1)
        self.finish(waiting, attempts=1)
        jobs = cluster.jobs()
        self.assertEqual(jobs[int(orphan)]["JobState"], "CANCELLED")
        self.assertEqual(jobs[int(foreign)]["JobState"], "PENDING")
        cluster.ask("scancel", foreign)


class Prepare(unittest.TestCase):
    def test_a_job_array_and_one_merge_make_the_set_of_one_machine(self):
        config = service.config("prepared")
        root = service.root
        whole = subprocess.run([support.BIN / "anamnesis", "prepare", config, "--out", root / "whole"],
                               capture_output=True, text=True, timeout=60)
        self.assertEqual(whole.returncode, 0, whole.stderr)
        done = subprocess.run([SOURCE / "deploy/slurm/prepare", "3", config, root / "shards"], capture_output=True,
                              text=True, timeout=60, env=dict(cluster.environment, ANAMNESIS=str(support.BIN / "anamnesis")))
        self.assertEqual(done.returncode, 0, done.stderr)
        array, merge = map(int, done.stdout.split())
        ended = support.wait_until(lambda: slurm_support.ended(cluster.jobs()[merge]), "the merge has ended")
        logs = "".join(path.read_text() for path in sorted((root / "shards.log").iterdir()))
        self.assertEqual(ended, "COMPLETED", logs)
        self.assertEqual(len(list((root / "shards.log").glob("part-*.log"))), 3, array)
        files = sorted(path.name for path in (root / "whole").iterdir())
        self.assertEqual(sorted(path.name for path in (root / "shards").iterdir()), files)
        for name in files:
            self.assertEqual(support.sha256_of(root / "shards" / name), support.sha256_of(root / "whole" / name), name)


class Refusals(unittest.TestCase):
    def other(self, *engine):
        other = SlurmService(cluster, engine=engine)
        self.addCleanup(other.close)
        shutil.copytree(service.root / "cohort", other.root / "cohort")
        return other

    def test_a_wrong_partition_is_told_in_slurms_words(self):
        other = self.other("partition=nowhere")
        other.up()
        found = other.wait(other.submit("refused", *GANG))
        self.assertEqual((found["state"], found["reason"]), ("rejected", "invalid_input"))
        self.assertIn("slurm: invalid partition specified: nowhere", found["message"])
        self.assertEqual(len(found["attempts"]), 1)

    def test_a_setting_that_is_none_is_refused_at_the_start(self):
        other = self.other("partitoin=main", "time_limit=soon")
        with self.assertRaises(AssertionError) as refused:
            other.up()
        self.assertIn("partitoin=main: no such key; there are account", str(refused.exception))
        self.assertIn("time_limit=soon: expected a time", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
