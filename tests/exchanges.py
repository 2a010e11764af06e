"""Every exchange with the sandbox, held against Stripe's description of its API.

The middleware ``ValidateExchanges`` checks requests that the sandbox accepted and every answer
that the description knows, and appends one JSON line per exchange to the file named by
``WCB_EXCHANGES_FILE`` (made up for the run if unset, so that child processes write to it too).
Without the description (folder ``STRIPE_REFERENCE``, else ``shared/stripe`` beside the
repository) it does nothing.
"""

import atexit
import contextlib
import fcntl
import importlib.util
import json
import os
import re
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

# What the path of an API call contains, behind the mount point: /v1, /v2, and OAuth's two calls.
MARK = re.compile(r"/stripe(?=/v[12]/|/oauth/(?:token|deauthorize))")

if "WCB_EXCHANGES_FILE" not in os.environ:
    _owner = os.getpid()
    _name = Path(tempfile.gettempdir()) / f"wcb_exchanges_{_owner}.jsonl"
    os.environ["WCB_EXCHANGES_FILE"] = str(_name)

    @atexit.register
    def _forget():
        if os.getpid() == _owner:  # not in a child that was forked
            with contextlib.suppress(OSError):
                _name.unlink()


@cache
def spec():
    """Stripe's description with its validator, or None where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "stripe"
    file = Path(os.environ.get("STRIPE_REFERENCE") or default) / "validate.py"
    if not file.exists():
        return None
    loader = importlib.util.spec_from_file_location("stripe_validate", file)
    module = importlib.util.module_from_spec(loader)
    sys.modules["stripe_validate"] = module  # before it runs: its dataclass looks itself up there
    loader.loader.exec_module(module)
    return module.Spec()


def check(method, path, body, status, answer):
    """The problems of one exchange as texts; None if the description does not know the URL."""
    description = spec()
    if description is None or description.find(method, path)[1] is None:
        return None
    problems = []
    if 200 <= status < 300:
        problems += [
            f"request {p.code} {p.param}: {p.message}"
            for p in description.validate_request(method, path, body, now=time.time())
        ]
    problems += [
        f"answer {p.code} {p.param}: {p.message}"
        for p in description.validate_response(method, path, status, answer)
    ]
    return problems


def lines():
    try:
        text = Path(os.environ["WCB_EXCHANGES_FILE"]).read_text()
    except OSError:
        return []
    return [json.loads(line) for line in text.splitlines()]


def count():
    """How many exchanges were validated so far."""
    return len(lines())


def problems():
    """What was wrong, one text per problem."""
    return [
        f"{line['method']} {line['path']} {line['status']}: {problem}"
        for line in lines()
        for problem in line["problems"]
    ]


class ValidateExchanges:
    """Outermost middleware of the test settings."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        path = request.get_full_path()
        mark = MARK.search(path)
        if mark is None:
            return self.get_response(request)
        body = request.body  # before anything reads the stream
        response = self.get_response(request)
        if response.streaming:
            return response
        path = path[mark.end() :]
        try:
            answer = json.loads(response.content)
            found = check(request.method, path, body, response.status_code, answer)
        except ValueError:
            found = [f"the answer is not JSON: {response.content[:80]!r}"]
        if found is not None:
            self.write(
                {
                    "method": request.method,
                    "path": path,
                    "status": response.status_code,
                    "problems": found,
                }
            )
        return response

    @staticmethod
    def write(line):
        with open(os.environ["WCB_EXCHANGES_FILE"], "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # several threads and processes append
            file.write(json.dumps(line) + "\n")
            file.flush()
