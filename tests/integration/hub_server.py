# SPDX-License-Identifier: Apache-2.0
"""A small hub for tests, on a free port of this machine: the list of files, HEAD and GET of files with redirects,
ranges and ETags, as huggingface_hub 2.4 asks for them. A large file is answered by a redirect to a second server, as
the hub's own go to its content network. Faults are told beforehand. Standard library only."""

import hashlib
import http.server
import json
import threading
import urllib.parse


class Hub:
    def __init__(self):
        self.repositories = {}  # name: {file: content}
        self.renamed = {}
        self.tokens = {}        # name: the token that may read it
        self.gated = set()
        self.large = set()      # files with a SHA-256 as ETag, kept at the second server
        self.cut_after = {}     # file: bytes of the next answer's body, then the connection ends
        self.wrong = {}         # file: number of answers with other content
        self.list = None        # in place of every list of files
        self.busy = 0           # answers of 429 before the next right one
        self.requests = []      # (server, method, path, headers)
        self.servers = [self._start("hub"), self._start("content")]

    def _start(self, name):
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self, name)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def url(self, which=0):
        return f"http://127.0.0.1:{self.servers[which].server_address[1]}"

    def commit(self, name):
        return hashlib.sha1(name.encode()).hexdigest()

    def answer(self, request, server):
        self.requests.append((server, request.command, request.path, dict(request.headers)))
        path = urllib.parse.unquote(request.path)
        if server == "content":
            return self.content(request, path.strip("/"))
        if self.busy > 0:
            self.busy -= 1
            return self.send(request, 429, b"slow down", {"Retry-After": "0"})
        parts = path.strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if name in self.renamed:
            target = request.path.replace(name, self.renamed[name])
            return self.send(request, 307, b"moved", {"Location": target})
        if name not in self.repositories:
            return self.send(request, 401, b"Invalid username or password.")
        token = self.tokens.get(name)
        if token and request.headers.get("Authorization") != "Bearer " + token:
            return self.send(request, 401, b"unauthorised")
        if name in self.gated:
            return self.send(request, 403, b"gated")
        return self.repository(request, name, parts)

    def repository(self, request, name, parts):
        files = self.repositories[name]
        if parts[0] == "api":
            if parts[5] not in ("main", self.commit(name)):
                return self.send(request, 404, b"Revision Not Found")
            body = self.list or json.dumps({"id": name, "sha": self.commit(name),
                               "siblings": [{"rfilename": file} for file in files]}).encode()
            return self.send(request, 200, body)
        file = parts[4]
        if file not in files:
            return self.send(request, 404, b"Entry not found")
        if file in self.large:
            return self.send(request, 302, b"", {
                "Location": f"{self.url(1)}/{name}/{file}", "ETag": '"irrelevant"',
                "X-Linked-Etag": '"' + hashlib.sha256(files[file]).hexdigest() + '"',
                "X-Linked-Size": str(len(files[file]))})
        return self.file(request, file, files[file])

    def content(self, request, path):
        organisation, name, file = path.split("/")
        self.file(request, file, self.repositories[organisation + "/" + name][file])

    def file(self, request, file, data):
        etag = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        if request.command == "GET" and self.wrong.get(file, 0) > 0:
            self.wrong[file] -= 1
            data = bytes(len(data))
        headers, status, start = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"}, 200, 0
        wanted = request.headers.get("Range")
        if wanted:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return self.send(request, 416, b"", headers)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = self.cut_after.pop(file, None) if request.command == "GET" else None
        self.send(request, status, data[start:], headers, cut)

    @staticmethod
    def send(request, status, body, headers=None, cut=None):
        request.send_response(status)
        for key, value in (headers or {}).items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "HEAD":
            return
        request.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            request.wfile.flush()
            request.close_connection = True
            request.connection.shutdown(2)
