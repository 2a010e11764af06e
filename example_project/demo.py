"""Starts the demo: web server, worker and the sandbox's mail server, until Ctrl-C.

    python3 example_project/demo.py          (or: make demo, make demo PORT=8001)

Standard library only: it runs before anything is installed.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from environment import ROOT, CannotPrepare, prepare

SMTP_PORTS = range(2525, 2536)
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS_TO_START = 60
SECONDS_TO_STOP = 15

stopping: list = []


class Stopped(Exception):
    """Ctrl-C, or somebody ended us."""


def main() -> int:
    for number in ENDING:
        signal.signal(number, stop)
    children: dict = {}
    try:
        start(children)
        watch(children)
    except CannotPrepare as problem:
        print(problem, file=sys.stderr)
        return 1
    except Stopped:
        return 0
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        end(children)
    return 0


def stop(number: int, frame: object) -> None:
    # Once: make and the terminal may both pass on the same Ctrl-C.
    if not stopping:
        stopping.append(number)
        raise Stopped


def start(children: dict) -> None:
    port = int(os.environ.get("PORT") or 8000)
    if taken(port):
        raise CannotPrepare(f"Port {port} is in use. Choose another: make demo PORT={port + 1}")
    smtp_port = next((candidate for candidate in SMTP_PORTS if not taken(candidate)), None)
    if smtp_port is None:
        raise CannotPrepare(
            f"The ports {SMTP_PORTS[0]} to {SMTP_PORTS[-1]} are all in use; mail needs one of them."
        )
    python = prepare("demo")
    var = Path(os.environ.get("WCB_VAR") or ROOT / "var")
    var.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "PORT": str(port),
        "WCB_SMTP_PORT": str(smtp_port),
        "WCB_VAR": str(var),
        "PYTHONUNBUFFERED": "1",
    }
    manage = [str(python), str(ROOT / "example_project" / "manage.py")]
    for command in (["migrate", "--verbosity", "0"], ["load_demo"]):
        if subprocess.run([*manage, *command], cwd=ROOT, env=environment).returncode:
            raise CannotPrepare(f"The step {command[0]} failed.")
    for name, arguments in (
        ("mail", ["client_billing_sandbox_smtp", "--port", str(smtp_port)]),
        ("web", ["runserver", "--noreload", f"127.0.0.1:{port}"]),
        ("worker", ["qcluster"]),
    ):
        log = var / f"{name}.log"
        with log.open("wb") as output:
            # In sessions of their own, so that Ctrl-C reaches us alone: a signal to a whole
            # group can hang Django-Q's workers.
            process = subprocess.Popen(
                [*manage, *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        children[name] = (process, log)
    wait_until_ready(children, port)
    admin = f"http://localhost:{port}"
    print(f"  Wagtail admin   {admin}/admin/")
    print("  Log in as       agency, editor or guest; the password is demo")
    print(f"  Client sites    http://bakery.localhost:{port}/  http://lawyers.localhost:{port}/")
    print(f"  Inbox           {admin}/sandbox/inbox/")
    print("  Stop            Ctrl-C", flush=True)


def taken(port: int) -> bool:
    """Whether somebody listens there, or we may not."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.settimeout(1)
                if probe.connect_ex((host, port)) == 0:
                    return True
        except OSError:
            continue
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def wait_until_ready(children: dict, port: int) -> None:
    address = f"http://127.0.0.1:{port}/admin/login/"
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        raise_if_one_ended(children)
        try:
            with urllib.request.urlopen(address, timeout=10):
                return
        except urllib.error.HTTPError as error:
            raise CannotPrepare(
                f"The web server answers {error.code}; see {children['web'][1]}"
            ) from error
        except OSError:
            time.sleep(0.2)
    raise CannotPrepare(f"The web server did not start in time; see {children['web'][1]}")


def watch(children: dict) -> None:
    while True:
        raise_if_one_ended(children)
        time.sleep(0.5)


def raise_if_one_ended(children: dict) -> None:
    for name, (process, log) in children.items():
        if process.poll() is not None:
            last = log.read_text(errors="replace").splitlines()[-15:]
            raise CannotPrepare("\n".join([*last, f"The {name} process has ended; see {log}"]))


def end(children: dict) -> None:
    running = [process for process, _ in children.values() if process.poll() is None]
    for process in running:
        # SIGINT to the main process only: it ends its own children in order.
        process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + SECONDS_TO_STOP
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
