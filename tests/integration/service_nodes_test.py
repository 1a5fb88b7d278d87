# SPDX-License-Identifier: Apache-2.0
"""A gang that spans nodes: a worker for each, ranks that meet over a declared interface, rendezvous and reports by way of
the coordinator. The nodes are worker processes of this machine; engines place them on real ones (slurm_test,
kubernetes_test)."""

import os
import pathlib
import signal
import unittest

import run_support
import service_support as support

TWO_NODES = ("--ranks-per-node", 2, "--interface", "lo")


class Nodes(unittest.TestCase):
    def setUp(self):
        self.service = support.Service(slots=4)
        self.addCleanup(self.service.close)

    def workers_of(self, job):
        """The pids of the job's workers, by node."""
        number = job.rsplit("/", 1)[-1]
        found = {}
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode().split("\0")
            except OSError:
                continue
            if words[0].endswith("anamnesis-worker") and f"unix:{self.service.data_dir}/w" in words and \
                    words[words.index("--job") + 1] == number:
                node = int(words[words.index("--node") + 1]) if "--node" in words else 0
                found[node] = int(path.parent.name)
        return found

    def ranks_of(self, worker):
        return [pid for pid in support.children_of(worker) if support.program_of(pid) == "anamnesis-rank"]

    def one_node(self):
        """The digest of the same training on one node."""
        job = self.service.submit("one", "--ranks", 2)
        return self.service.wait(job)["final_sha256"]

    def test_two_nodes_of_two_ranks_train_the_adapter_of_one_node(self):
        service = self.service
        service.up(*TWO_NODES)
        expected = self.one_node()
        job = service.submit("two", "--ranks", 4)
        service.wait_for_step(job, 5)
        workers = self.workers_of(job)
        self.assertEqual(sorted(workers), [0, 1])
        self.assertEqual([len(self.ranks_of(workers[node])) for node in (0, 1)], [2, 2])
        found = service.wait(job)
        self.assertEqual((found["state"], len(found["attempts"])), ("succeeded", 1), found["message"])
        self.assertEqual(found["final_sha256"], expected)
        support.wait_until(lambda: not any(map(run_support.is_alive, workers.values())), "both workers end")
        logs = sorted(path.name for path in (service.root / "two/.anamnesis").glob("rank-*.log"))
        self.assertEqual(logs, [f"rank-{rank}.log" for rank in range(4)])

    def test_a_rank_of_another_node_dies_and_the_survivors_go_on(self):
        service = self.service
        service.up(*TWO_NODES)
        expected = self.one_node()
        job = service.submit("rank", "--ranks", 4)
        service.wait_for_step(job, 25)
        workers = self.workers_of(job)
        before = self.ranks_of(workers[1])
        os.kill(before[-1], signal.SIGKILL)
        found = service.wait(job)
        self.assertEqual((found["state"], found["final_sha256"]), ("succeeded", expected), found["message"])
        first, second = found["attempts"]
        self.assertEqual((first["state"], first["reason"]), ("failed", "rank_failed"))
        self.assertIn("rank 3", first["message"])
        self.assertTrue(second["kept_ranks"])
        self.assertLessEqual(set(second["kept_ranks"]), {0, 1, 2})
        self.assertEqual(first["worker_pid"], second["worker_pid"])

    def test_a_lost_node_costs_the_attempt_and_not_the_job(self):
        service = self.service
        service.up(*TWO_NODES)
        expected = self.one_node()
        job = service.submit("node", "--ranks", 4)
        service.wait_for_step(job, 25)
        workers = self.workers_of(job)
        ranks = self.ranks_of(workers[1])
        for pid in (workers[1], *ranks):
            os.kill(pid, signal.SIGKILL)
        found = service.wait(job)
        self.assertEqual((found["state"], found["final_sha256"]), ("succeeded", expected), found["message"])
        self.assertGreater(found["attempts"][-1]["resumed_step"], 0)
        self.assertFalse(any(map(run_support.is_alive, workers.values())))

    def test_a_node_that_vanishes_before_the_first_step(self):
        service = self.service
        service.up(*TWO_NODES)
        job = service.submit("early", "--ranks", 4)
        worker = support.wait_until(lambda: self.workers_of(job).get(1), "the second node's worker is there")
        os.kill(worker, signal.SIGKILL)
        # Before it came, by the patience of a launch; after that by its lease, or by the ranks that miss their peers.
        found = service.wait_for_state(job, "recovering", 90)
        self.assertIn(found["attempts"][0]["state"], ("lost", "failed"))
        self.assertEqual(service.wait(job)["state"], "succeeded")

    def test_the_coordinator_may_come_and_go(self):
        service = self.service
        service.up(*TWO_NODES)
        expected = self.one_node()
        job = service.submit("restart", "--ranks", 4)
        for step in (10, 30):
            service.wait_for_step(job, step)
            service.kill()
            service.up(*TWO_NODES)
        found = service.wait(job)
        self.assertEqual((found["state"], found["final_sha256"]), ("succeeded", expected), found["message"])
        self.assertEqual(len(found["attempts"]), 1)
        self.assertGreater(found["attempts"][0]["reattached"], 0)

    def test_a_node_that_is_told_to_end_has_the_gang_save(self):
        service = self.service
        service.up(*TWO_NODES)
        expected = self.one_node()
        job = service.submit("leave", "--ranks", 4)
        service.wait_for_step(job, 25)
        os.kill(self.workers_of(job)[1], signal.SIGTERM)
        found = service.wait(job)
        self.assertEqual((found["state"], found["final_sha256"]), ("succeeded", expected), found["message"])
        self.assertEqual(found["attempts"][0]["state"], "stopped")
        self.assertGreaterEqual(found["attempts"][1]["resumed_step"], 25)

    def test_cancel_reaches_every_node(self):
        service = self.service
        service.up(*TWO_NODES)
        job = service.submit("cancel", "--ranks", 4)
        service.wait_for_step(job, 5)
        workers = self.workers_of(job)
        ranks = [pid for worker in workers.values() for pid in self.ranks_of(worker)]
        self.assertEqual(len(ranks), 4)
        service.cli("cancel", job, check=True)
        service.wait_for_state(job, "cancelled")
        self.assertIsNotNone(run_support.wait_until_gone([*workers.values(), *ranks], 15))
        self.assertTrue(list((service.root / "cancel").glob("checkpoint-*")), "it saved before it ended")

    def test_several_nodes_need_an_interface(self):
        done = self.service.cli("up", "--ranks-per-node", "2")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--interface", done.stderr)

    def test_an_interface_that_is_not_there_is_named(self):
        service = self.service
        service.up("--ranks-per-node", 2, "--interface", "absent0")
        found = service.wait(service.submit("interface", "--ranks", 4))
        self.assertEqual(found["state"], "failed")
        self.assertIn("absent0", found["message"])


if __name__ == "__main__":
    unittest.main()
