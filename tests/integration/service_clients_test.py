# SPDX-License-Identifier: Apache-2.0
"""Clients that are not ours: Python with stubs generated from proto/, over TCP with the token; grpcurl over the Unix
socket, by reflection."""

import json
import os
import pathlib
import shutil
import stat
import subprocess
import unittest

import run_support
import service_support as support

GRPCURL = run_support.SOURCE / ".deps/bin/grpcurl"
ORACLE = run_support.SOURCE / ".deps/oracle/stamp"


class Python(unittest.TestCase):
    def setUp(self):
        if not ORACLE.exists():
            self.skipTest("oracle absent")
        self.service = support.Service(slots=1)
        self.addCleanup(self.service.close)
        self.stubs = self.service.root / "stubs"
        run_support.write_python_stubs(self.stubs)
        self.service.up("--listen", "127.0.0.1:0")

    def test_it_submits_watches_and_cancels(self):
        service = self.service
        config = service.config("python")
        note, token = service.note(), service.data_dir / "token"
        self.assertEqual(stat.S_IMODE(token.stat().st_mode), 0o600)
        done = subprocess.run([run_support.SOURCE / "tools/oracle",
                               run_support.SOURCE / "tests/integration/grpc_client.py", self.stubs, note["tcp_address"],
                               token, config, service.root / "python"], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(done.stdout)
        for refused in ("no_token", "wrong_token"):
            self.assertEqual(seen[refused]["code"], "UNAUTHENTICATED")
            self.assertIn("Bearer", seen[refused]["message"])
        self.assertEqual(seen["slots"], 1)
        self.assertEqual(seen["bad"]["code"], "INVALID_ARGUMENT")
        self.assertEqual((seen["bad"]["domain"], seen["bad"]["reason"]), ("anamnesis", "INVALID_ARGUMENT"))
        fields = dict(seen["bad"]["violations"])
        self.assertEqual(set(fields), {"lora.r", "training.batch_sise"})
        self.assertIn("batch_size", fields["training.batch_sise"])
        self.assertEqual(seen["unknown"]["code"], "NOT_FOUND")
        self.assertEqual((seen["name"], seen["again"], seen["checked"]), ("jobs/1", "jobs/1", ""))
        self.assertEqual(seen["other_spec"]["code"], "ALREADY_EXISTS")
        self.assertEqual(seen["states"][-3:], ["running", "cancelling", "cancelled"])
        self.assertEqual(seen["resumed"], [], "nothing was missed")
        self.assertGreaterEqual(seen["step"], 3)
        self.assertEqual(seen["saved_step"], seen["step"])
        self.assertEqual(seen["points"], list(range(1, seen["step"] + 1)))
        self.assertEqual(service.get("jobs/1")["state"], "cancelled")

    def test_the_cli_finds_the_token_by_the_address(self):
        service, address = self.service, self.service.note()["tcp_address"]
        self.assertEqual(service.cli("list", "--coordinator", address).returncode, 0)
        token = service.root / "token"
        token.write_text("0" * 64 + "\n")
        for mode, code in ((0o600, 4), (0o644, 4)):
            token.chmod(mode)
            service.environment["ANAMNESIS_TOKEN_FILE"] = str(token)
            done = service.cli("list", "--coordinator", address)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn("token", done.stderr)


class Grpcurl(unittest.TestCase):
    def setUp(self):
        if not os.access(GRPCURL, os.X_OK):
            self.skipTest("grpcurl absent")
        self.service = support.Service(slots=1)
        self.addCleanup(self.service.close)
        self.service.up()
        self.socket = f"unix://{self.service.data_dir}/s"

    def call(self, *words):
        return subprocess.run([GRPCURL, "-plaintext", "-max-time", "60", *words], capture_output=True, text=True,
                              timeout=90)

    def ask(self, method, request):
        done = self.call("-d", json.dumps(request), self.socket, method)
        if done.returncode != 0:
            raise AssertionError(f"{method}: {done.stderr}")
        return json.loads(done.stdout)

    def check_health(self):
        """gRPC's own health service, whose description the reflection of gRPC for C++ does not have."""
        proto = self.service.root / "health.proto"
        proto.write_text('syntax = "proto3"; package grpc.health.v1; message HealthCheckRequest { string service = 1; }\n'
                         "message HealthCheckResponse { enum Status { UNKNOWN = 0; SERVING = 1; } Status status = 1; }\n"
                         "service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }\n")
        done = self.call("-import-path", proto.parent, "-proto", proto.name, self.socket, "grpc.health.v1.Health/Check")
        self.assertEqual((done.returncode, json.loads(done.stdout or "null")), (0, {"status": "SERVING"}), done.stderr)

    def test_it_finds_its_way_by_reflection(self):
        listed = self.call(self.socket, "list")
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertLessEqual({"anamnesis.v1.JobService", "anamnesis.v1.CheckpointService", "anamnesis.v1.ClusterService",
                              "grpc.health.v1.Health"}, set(listed.stdout.split()))
        self.assertNotIn("WorkerService", listed.stdout, "workers have a socket of their own")
        self.check_health()
        config = pathlib.Path(self.service.config("curl"))
        spec = {"task": "pretrain_llm", "config_yaml": config.read_text(), "working_directory": str(config.parent),
                "overrides": ["training.epochs=400"]}
        name = self.ask("anamnesis.v1.JobService/CreateJob", {"spec": spec})["job"]["name"]
        self.service.wait_for_step(name, 2)
        watch = subprocess.Popen([GRPCURL, "-plaintext", "-max-time", "60", "-d", json.dumps({"names": [name]}),
                                  self.socket, "anamnesis.v1.JobService/WatchJobs"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(watch.kill)
        self.assertIn("{", watch.stdout.readline())
        asked = self.ask("anamnesis.v1.JobService/CancelJob", {"name": name, "grace": "60s"})
        self.assertEqual(asked["job"]["state"], "JOB_STATE_CANCELLING")
        seen, _ = watch.communicate(timeout=60)
        self.assertEqual(watch.returncode, 0)
        self.assertIn('"JOB_STATE_CANCELLED"', seen)
        self.assertEqual(self.service.get(name)["state"], "cancelled")
        refused = self.call("-d", json.dumps({"name": name}), self.socket, "anamnesis.v1.JobService/CancelJob")
        self.assertIn("FailedPrecondition", refused.stderr)


if __name__ == "__main__":
    unittest.main()
