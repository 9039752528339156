"""A server on loopback that takes what Dataflow takes, and nothing that its discovery document does not allow."""

import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from beam_pipelines.cloud import discovery

LAUNCH = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/flexTemplates:launch")
JOBS = re.compile(r"/v1b3/projects/([^/]+)/locations/([^/]+)/jobs")


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        path = self.path.split("?")[0]
        self.server.seen.append((path, self.headers.get("authorization", ""), body))
        if self.server.refusals:
            status, message = self.server.refusals.pop(0)
            return self.answer(status, {"error": {"code": status, "message": message}})
        if LAUNCH.fullmatch(path):
            return self.launch(LAUNCH.fullmatch(path)[1], body)
        if JOBS.fullmatch(path):
            return self.create(body)
        return self.answer(404, {"error": {"code": 404, "message": path}})

    def launch(self, project, body):
        wrong = discovery.problems(body, "LaunchFlexTemplateRequest")
        name = body.get("launchParameter", {}).get("jobName")
        if wrong:
            return self.answer(400, {"error": {"code": 400, "message": "; ".join(wrong)}})
        if name in self.server.running:
            return self.answer(409, {"error": {"code": 409, "message": f"There is already an active job named {name}"}})
        if not body.get("validateOnly"):
            self.server.running.add(name)
        return self.answer(200, {"job": {"id": "2026-11-21_job", "name": name, "projectId": project}})

    def create(self, body):
        wrong = discovery.problems(body, "Job")
        if wrong:
            return self.answer(400, {"error": {"code": 400, "message": "; ".join(wrong)}})
        return self.answer(200, {"id": "job-1", "name": body.get("name"), "currentState": "JOB_STATE_PENDING"})

    def do_GET(self):
        path = self.path.split("?")[0]
        self.answer(200, {"id": "job-1", "currentState": "JOB_STATE_DONE"} if path.endswith("/jobs/job-1") else {})

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextlib.contextmanager
def serve():
    """Yields the server: ``port``, ``seen`` (path, authorization, body), ``running`` names, ``refusals`` to give."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.running, server.refusals = [], set(), []
    server.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
