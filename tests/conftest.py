"""What holds for the whole suite: no way out, requirements, and what the end of a run says.

Environment: ``WCB_REQUIRE`` ("browser postgres redis") makes a skipped test with one of these
marks a failure; ``WCB_REQUIRE_EXCHANGES=1`` fails a run in which no exchange with the sandbox
was validated.
"""

import ipaddress
import os
import shutil
import socket
from collections import Counter
from importlib.util import find_spec

import pytest

# At once, since it names the file that all processes of a run append their exchanges to.
from tests import exchanges

# Modules of fixtures, as they come to exist.
pytest_plugins = [name for name in ("tests.fixtures",) if find_spec(name)]

REQUIRED = set(os.environ.get("WCB_REQUIRE", "").split())
REQUIRE_EXCHANGES = os.environ.get("WCB_REQUIRE_EXCHANGES") == "1"

outside_calls: list[str] = []


# --- No connection leaves the machine -------------------------------------------------------


class OutsideCall(AssertionError):
    """A test reached for something that is not this machine."""


def is_loopback(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name == "":
        return True
    if not isinstance(name, str):
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def refuse_outside(host: object) -> None:
    if not is_loopback(host):
        outside_calls.append(f"{host} in {os.environ.get('PYTEST_CURRENT_TEST', 'no test')}")
        raise OutsideCall(f"No test may connect to {host}")


@pytest.fixture(scope="session", autouse=True)
def loopback_only():
    """Connections and look-ups of names go to this machine or fail, loudly, at the end too."""
    patch = pytest.MonkeyPatch()
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    getaddrinfo = socket.getaddrinfo

    def guarded(call):
        def checked(self, address):
            if self.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(address[0]):
                self.close()
                refuse_outside(address[0])
            return call(self, address)

        return checked

    def guarded_getaddrinfo(host, *args, **kwargs):
        # Numbers are not looked up anywhere.
        try:
            ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
        except ValueError:
            refuse_outside(host)
        return getaddrinfo(host, *args, **kwargs)

    patch.setattr(socket.socket, "connect", guarded(connect))
    patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
    patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def start_in_english():
    """LocaleMiddleware leaves the language of its last request behind."""
    from django.conf import settings
    from django.utils import translation

    translation.activate(settings.LANGUAGE_CODE)


# --- Tests that need something --------------------------------------------------------------


def answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def missing_browser() -> str | None:
    if find_spec("playwright") is None:
        return "Playwright is not installed"
    if not any(shutil.which(name) for name in ("chromium", "google-chrome")):
        return "no chromium on the PATH"
    return None


def missing_postgres() -> str | None:
    from django.conf import settings

    if "postgresql" not in settings.DATABASES["default"]["ENGINE"]:
        return "this run is not on PostgreSQL (set DATABASE_URL)"
    return None


def missing_redis() -> str | None:
    if find_spec("redis") is None:
        return "the Redis client is not installed"
    if shutil.which("redis-server") is None and not answers("127.0.0.1", 6379):
        return "no redis-server on the PATH and none on 127.0.0.1:6379"
    return None


MISSING = {"browser": missing_browser, "postgres": missing_postgres, "redis": missing_redis}


def pytest_collection_modifyitems(config, items):
    reasons = {mark: find() for mark, find in MISSING.items()}
    for item in items:
        for mark, reason in reasons.items():
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"{mark}: {reason}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        marks = REQUIRED & {mark.name for mark in item.iter_markers()}
        if marks:
            report.outcome = "failed"
            report.longrepr = f"required ({', '.join(sorted(marks))}) but {report.longrepr[-1]}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    if report.skipped and REQUIRED:
        # A module that leaves itself out does not say what it would have needed.
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} left itself out: {report.longrepr[-1]}"
    return report


# --- What the end of a run says -------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    count, problems = exchanges.count(), exchanges.problems()
    nothing_checked = REQUIRE_EXCHANGES and count == 0
    if exitstatus == pytest.ExitCode.OK and (problems or outside_calls or nothing_checked):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    write = terminalreporter.write_line
    count, problems = exchanges.count(), exchanges.problems()
    terminalreporter.section("Wagtail Client Billing")
    for call in outside_calls:
        write(f"left the machine: {call}", red=True)
    for problem in problems:
        write(f"exchange: {problem}", red=True)
    if REQUIRE_EXCHANGES and count == 0:
        write("no exchange was validated, although this run demands it", red=True)
    skipped = terminalreporter.stats.get("skipped", [])
    write(f"skipped: {len(skipped)}")
    reasons = Counter(str(report.longrepr[-1]).removeprefix("Skipped: ") for report in skipped)
    for reason, times in reasons.most_common():
        write(f"  {times} × {reason}")
    write(f"exchanges validated: {count}")
    if problems:
        write(f"exchanges with a problem: {len(problems)}", red=True)
