"""The other side of a worker: a real process, requests in, events out."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading

import torch

OUTCOMES = ("result", "error", "cancelled")
WORKER = ("-m", "CTInvarianceLib", "worker")
HANGS_S = 300  # what takes longer than that will never come, on however busy a machine


class Panel:
    """The other side of a worker."""

    def __init__(self, *arguments):
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.events, self.errors, self.count = queue.Queue(), [], 0
        self._readers = [
            threading.Thread(target=target)
            for target in (self._read, lambda: self.errors.extend(self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()
        self.hello = self.hear()

    def _read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def hear(self):
        return self.events.get(timeout=HANGS_S)

    def send(self, **request):
        """Send a request; its job."""
        self.count += 1
        request = {"job": f"j{self.count}", **request}
        self.write(json.dumps(request).encode())
        return request["job"]

    def write(self, line):
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def until(self, *kinds, job):
        """Events up to the first of those kinds, all of one job."""
        events = []
        while not events or events[-1]["event"] not in kinds:
            events.append(self.hear())
            assert events[-1]["job"] == job, events
        return events

    def ask(self, **request):
        """Events of one job from "started" to the outcome."""
        events = self.until(*OUTCOMES, job=self.send(**request))
        assert [e["event"] for e in events].count("started") == 1
        return events

    def result(self, **request):
        *_, outcome = self.ask(**request)
        assert outcome["event"] == "result", outcome
        return outcome

    def error(self, **request):
        outcome = self.until(*OUTCOMES, job=self.send(**request))[-1]
        assert outcome["event"] == "error", outcome
        return outcome

    def close(self):
        """Die, as far as the worker can see; its exit code."""
        self.process.stdin.close()
        code = self.process.wait(timeout=HANGS_S)
        for reader in self._readers:
            reader.join()
        return code

    def clean(self):
        """Leave nothing behind."""
        self.process.kill()
        self.close()
        self.process.stdout.close()
        self.process.stderr.close()
