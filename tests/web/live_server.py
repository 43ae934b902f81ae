"""Start `triform serve` with the worker of the tests, as a process of its own."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PROGRAM = """
import sys
from triform.base.logging import set_up_console
from triform.web import commands, service
service.Service.__init__.__defaults__ = ((sys.argv[1],),)
set_up_console()
commands.main(sys.argv[2:])
"""


class LiveServer:
    """A server; `address` is where it listens, and `output` what it printed."""

    def __init__(self, folder, *flags, program=True):
        worker = str(Path(__file__).with_name("page_worker.py"))
        self.folder, self.log = folder, folder / "serve.log"
        command = [sys.executable, "-c", PROGRAM, worker]
        if not program:
            command = [sys.executable, "-m", "triform", "serve"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", "0", "--min_free_gb", "0", *flags],
                cwd=folder,
                stderr=log,
                stdout=log,
                env={**os.environ, "NO_PROXY": "127.0.0.1"},
            )
        self.address = self._address()

    @property
    def output(self):
        return self.log.read_text()

    def _address(self):
        end = time.monotonic() + 300
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(r"open (http://\S+) in", self.output)
            if found:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{found[1]}/api/state")
                    return found[1]
            time.sleep(0.05)
        raise AssertionError(self.output)

    def get(self, path):
        with urllib.request.urlopen(f"{self.address}/api/{path}") as answer:
            return json.load(answer)

    def post(self, path, content):
        headers = {"content-type": "application/json"}
        body = json.dumps(content).encode()
        request = urllib.request.Request(f"{self.address}/api/{path}", body, headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def until(self, name, states):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            record = self.get(f"results/{name}")
            if record["state"] in states:
                return record
            time.sleep(0.05)
        raise AssertionError(record)

    def end_jobs(self, count):
        """Stop the jobs that run first."""
        for each in self.get("jobs")[:count]:
            address = f"{self.address}/api/jobs/{each['id']}"
            urllib.request.urlopen(urllib.request.Request(address, method="DELETE")).close()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)
