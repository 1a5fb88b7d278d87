# SPDX-License-Identifier: Apache-2.0
"""The real `wandb sync` sends run folders to a server on this machine: tools/oracle sync_wandb.py OUT.json FOLDER [...]

The server speaks just enough of W&B's protocol (GraphQL UpsertBucket and CreateRunFiles, file_stream, uploads) to take
what is sent, as the server would store it: history lines by their offset, the last configuration and summary.
"""
import gzip
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading

runs = {}  # by id


def run_of(name):
    return runs.setdefault(name, {"history": {}, "config": {}, "summary": {}, "files": [], "complete": False})


def upsert(variables):
    run = run_of(variables["name"])
    if variables.get("config"):
        run["config"] = {key: value["value"] for key, value in json.loads(variables["config"]).items()}
    for key in ("displayName", "notes", "groupName", "jobType", "tags", "host"):
        if variables.get(key):
            run[key] = variables[key]
    project = {"id": "p", "name": variables.get("project") or "uncategorized",
               "entity": {"id": "e", "name": variables.get("entity") or "someone"}}
    run["project"], run["entity"] = project["name"], project["entity"]["name"]
    bucket = {"id": "b", "name": variables["name"], "displayName": "", "description": "", "config": None,
              "sweepName": None, "project": project, "historyLineCount": 0}
    return {"upsertBucket": {"bucket": bucket, "inserted": True}}


def stream(name, body):
    run = run_of(name)
    history = body.get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
    for number, line in enumerate(history["content"], history["offset"]):
        run["history"][number] = json.loads(line, parse_constant=str)
    for text in body.get("files", {}).get("wandb-summary.json", {"content": []})["content"]:
        run["summary"] = json.loads(text, parse_constant=str)
    if body.get("complete"):
        run["complete"], run["exit_code"] = True, body.get("exitcode")


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        reply = {}
        if self.path == "/graphql":
            call = json.loads(body)
            reply = {"data": self.graphql(call.get("operationName"), call.get("variables") or {})}
        elif self.path.endswith("/file_stream"):
            stream(self.path.split("/")[-2], json.loads(body))
        elif self.path.startswith("/upload/"):
            _, _, name, file = self.path.split("/", 3)
            run_of(name)["files"].append(file)
        data = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def graphql(self, operation, variables):
        if operation == "UpsertBucket":
            return upsert(variables)
        if operation == "CreateRunFiles":
            base = f"http://127.0.0.1:{self.server.server_port}/upload/{variables['run']}/"
            files = [{"name": name, "uploadUrl": base + name} for name in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        return {}

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *args):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        environment = dict(os.environ, HOME=home, WANDB_CONFIG_DIR=home, WANDB_CACHE_DIR=home, WANDB_DIR=home,
                           WANDB_BASE_URL=f"http://127.0.0.1:{server.server_port}", WANDB_API_KEY="0" * 40,
                           WANDB_ERROR_REPORTING="false", NO_PROXY="*", no_proxy="*")
        for folder in sys.argv[2:]:
            done = subprocess.run([sys.executable, "-m", "wandb", "sync", folder], env=environment, timeout=60,
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                sys.exit(f"wandb sync: exit {done.returncode}\n{done.stdout}{done.stderr}")
    server.shutdown()
    for run in runs.values():
        run["history"] = [run["history"][number] for number in sorted(run["history"])]
    with open(sys.argv[1], "w") as file:
        json.dump(runs, file)


main()
