"""Serve private git repositories with a password and a cargo registry with a token, in a container.

Its argument is a directory with bare repositories in `git/`, and with an index and `crates/` of a registry as
in the cargo book's "Running a Registry". The credentials are `USERNAME`, `PASSWORD` and `TOKEN` in its
environment.
"""

import base64
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(sys.argv[1])
BASIC = "Basic " + base64.b64encode(f"{os.environ['USERNAME']}:{os.environ['PASSWORD']}".encode()).decode()


class Host(BaseHTTPRequestHandler):
    """A request handler: git by `git http-backend`, the registry from files."""

    def do_GET(self) -> None:
        wanted = BASIC if self.path.startswith("/git/") else os.environ["TOKEN"]
        if self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="private"')
            self.end_headers()
        elif self.path.startswith("/git/"):
            self._git()
        else:
            self._file(ROOT / self.path.lstrip("/"))

    do_POST = do_GET  # noqa: N815  http.server's name

    def _file(self, path: Path) -> None:
        found = path.is_file()
        self.send_response(200 if found else 404)
        self.end_headers()
        if found:
            self.wfile.write(path.read_bytes())

    def _git(self) -> None:
        path, _, query = self.path.partition("?")
        size = self.headers.get("Content-Length", "0")
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(ROOT), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": size, "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "me", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
        body = self.rfile.read(int(size))
        answer = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE)
        head, _, content = answer.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


ThreadingHTTPServer(("", 80), Host).serve_forever()
