"""The processes that the browser meets: web, worker, the sandbox's mail server, and Redis.

Each demo has a folder and ports of its own, and settings in which every exchange is validated.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MANAGE = ROOT / "example_project" / "manage.py"
SECONDS_TO_START = 180
SECONDS_TO_STOP = 20
# The scenarios are told by the tests alone, not by what happens to be set around them.
LEFT_OUT = ("DATABASE_URL", "REDIS_URL", "LINK_LIFETIME", "ATOMIC_REQUESTS")

_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that was not given away before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def interruptible() -> None:
    """In the child: a shell's background job ignores SIGINT, and would hand that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Process:
    """One process in a session of its own, so that Ctrl-C at the terminal reaches us alone."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=interruptible,
            )

    @property
    def runs(self) -> bool:
        return self.popen.poll() is None

    def last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def interrupt(self) -> None:
        """SIGINT to the main process only: it ends its own children in order."""
        if self.runs:
            self.popen.send_signal(signal.SIGINT)

    def wait(self) -> None:
        """Waits for its end; takes the whole session down if it does not come."""
        try:
            self.popen.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()


class Demo:
    """The example project in a folder: ``start()`` all of it, ``stop()`` and start parts of it."""

    def __init__(self, var: Path, ports: tuple[int, int] | None = None, **environment: str) -> None:
        self.var = var
        var.mkdir(parents=True, exist_ok=True)
        self.port, self.smtp_port = ports or (free_port(), free_port())
        self.base = f"http://localhost:{self.port}"
        self.bakery = f"http://bakery.localhost:{self.port}"
        self.books = var / "sandbox.sqlite3"
        self.env = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        self.env |= {
            "DJANGO_SETTINGS_MODULE": "tests.demo_settings",
            "PORT": str(self.port),
            "WCB_SMTP_PORT": str(self.smtp_port),
            "WCB_VAR": str(var),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self.commands = {
            "mail": ["client_billing_sandbox_smtp", "--port", str(self.smtp_port)],
            "web": ["runserver", "--noreload", f"127.0.0.1:{self.port}"],
            "worker": ["qcluster"],
        }
        self.processes: dict[str, Process] = {}
        # What was done in it by clicking, and need not be done twice.
        self.cookies: dict[str | None, Any] = {}
        self.connected = False
        # Every page of ours that somebody has seen in it.
        self.pages: list[str] = []

    def manage(self, *arguments: str) -> str:
        """Runs a management command to its end, as an operator's cron does."""
        done = subprocess.run(
            [sys.executable, str(MANAGE), *arguments],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}"
        return done.stdout

    def prepare(self) -> None:
        """An empty folder becomes a demo that nobody has used yet."""
        self.manage("migrate", "--verbosity", "0")
        self.manage("load_demo")

    def prepare_from(self, other: "Demo") -> None:
        """The same, faster, from a demo that was prepared and never started."""
        shutil.copytree(other.var, self.var, dirs_exist_ok=True)
        if self.port != other.port:
            self.manage("load_demo")

    def start(self, *names: str) -> None:
        for name in names or self.commands:
            command = [sys.executable, str(MANAGE), *self.commands[name]]
            self.processes[name] = Process(command, self.env, self.var / f"{name}.log")
        for name in names or self.commands:
            self._wait_for(name)

    def stop(self, *names: str) -> None:
        """Ends them; the worker first, as long as those are there whom it may be talking to."""
        for name in sorted(names or self.processes, key=lambda name: name != "worker"):
            process = self.processes.pop(name)
            process.interrupt()
            process.wait()

    def _wait_for(self, name: str) -> None:
        process = self.processes[name]
        deadline = time.monotonic() + SECONDS_TO_START
        while not self._ready(name):
            assert process.runs, f"{name} ended at once:\n{process.last_lines()}"
            assert time.monotonic() < deadline, f"{name} is not up:\n{process.last_lines()}"
            time.sleep(0.1)

    def _ready(self, name: str) -> bool:
        if name == "worker":
            return True  # whatever waits for it waits in the database
        if name == "mail":
            return answers(self.smtp_port)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/admin/login/", timeout=30):
                return True
        except urllib.error.HTTPError:
            raise
        except OSError:
            return False


class Redis:
    """A Redis server that keeps nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = folder
        self.process: Process | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        self.process = Process(command, dict(os.environ), self.folder / "redis.log")
        deadline = time.monotonic() + SECONDS_TO_START
        while not answers(self.port):
            assert self.process.runs, self.process.last_lines()
            assert time.monotonic() < deadline, "Redis is not up"
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.interrupt()
            self.process.wait()
            self.process = None
