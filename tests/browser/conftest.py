"""Chromium against real processes of the example project.

Playwright keeps an event loop in the thread that started it, and Django refuses its database
there. So it is started and ended for each module, and no test of ours uses Django's database.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.sandbox_server import sandbox_books

from . import leaks
from .people import Agency, Client, Developer, Editor, Window
from .processes import Demo

# No request leaves the machine.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, "
    "EXCLUDE *.localhost",
]


def chromium_path() -> str | None:
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    setattr(item, f"failed_{report.when}", report.failed)
    return report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Demo:
    """A demo that nobody has used, to be copied."""
    demo = Demo(tmp_path_factory.mktemp("prepared"))
    demo.prepare()
    return demo


@pytest.fixture(scope="session")
def shared_demo(prepared, tmp_path_factory) -> Iterator[Demo]:
    """The demo of all tests that need nothing special of it."""
    demo = Demo(tmp_path_factory.mktemp("shared"), (prepared.port, prepared.smtp_port))
    demo.prepare_from(prepared)
    try:
        demo.start()
        yield demo
    finally:
        demo.stop()
    secrets = leaks.secrets_of(demo.books)
    assert leaks.find(demo) == [], "rule 10"
    if secrets:  # somebody has connected an account
        demo.pages.append(f"<p>{next(iter(secrets.values()))}</p>")
        assert leaks.find(demo), "a planted secret is seen"


@pytest.fixture(scope="module")
def demo(shared_demo) -> Demo:
    """The demo that a module's tests speak to."""
    return shared_demo


@pytest.fixture
def windows(request, browser, demo, tmp_path) -> Iterator[Callable[..., Window]]:
    """Opens windows; none of them may have had an error on a page or broken a policy.

    Photographs of all of them are left in the test's folder when it failed.
    """
    opened: list[Window] = []

    def open_window(kind: type[Window], *args, **options) -> Window:
        window = kind(browser, demo, *args, **options)
        opened.append(window)
        return window

    try:
        yield open_window
        if getattr(request.node, "failed_call", True):
            folder = Path(os.environ.get("WCB_SHOTS_OF_FAILURES") or tmp_path)
            for number, window in enumerate(opened):
                window.photograph(folder / f"{request.node.name}-{number}.png")
                print(f"{type(window).__name__}: {[page.url for page in window.context.pages]}")
            print(f"photographs in {folder}")
        problems = [problem for window in opened for problem in window.problems]
    finally:
        for window in opened:
            window.close()
    assert not problems, problems


@pytest.fixture
def agency(windows) -> Agency:
    return windows(Agency).log_in()


@pytest.fixture
def connected(windows, demo) -> None:
    """An account is connected."""
    if not demo.connected:
        windows(Agency).log_in().be_connected()


@pytest.fixture
def editor(windows, connected) -> Editor:
    """The editor of the bakery, where bills can be sent."""
    return windows(Editor).log_in()


@pytest.fixture
def client_of(windows) -> Callable[..., Client]:
    return lambda email, **options: windows(Client, email, **options)


@pytest.fixture
def developer(windows) -> Iterator[Developer]:
    """Faults are off again afterwards."""
    developer = windows(Developer)
    yield developer
    developer.switch_all_off()


@pytest.fixture
def books(demo):
    """The sandbox's books, for reading."""
    from wagtail_client_billing.sandbox import books

    with sandbox_books(demo.books):
        yield books
