"""The control pages, the guards of the app, and the books' file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, RequestFactory, override_settings

from tests.sandbox_server import sandbox_books
from wagtail_client_billing.sandbox import (
    books,
    checkout,
    connections,
    deliveries,
    faults,
    inbox,
    keys,
)

from .test_checkout import TOKEN, Browser

PAGES = [
    "",
    "inbox/",
    "sessions/",
    "payments/",
    "subscriptions/",
    "events/",
    "webhooks/",
    "keys/",
    "calls/",
    "faults/",
]


@pytest.fixture
def browser():
    with Browser() as opened:
        yield opened


@pytest.fixture
def busy(client, params, endpoint, subscribe):
    """Books with something of everything."""
    subscribe()
    for action in (checkout.pay, checkout.decline, checkout.pay_later):
        action(client.v1.checkout.sessions.create(params()).id)
    inbox.add("a@example.com", ["b@example.com"], b"Subject: Hello\r\n\r\nhttps://a.example/\r\n")
    faults.add("slow", path="/v1/none", times=None, delay_ms=5)
    with books.write() as db:
        books.note(db, "clock_offset", 5400)


@pytest.mark.parametrize("path", PAGES)
def test_pages_of_empty_books(server, browser, path):
    page = browser.get(server.pages + path, timeout=20)
    assert page.status_code == 200
    assert page.text.count("<h1>") == 1
    assert "A stand-in for Stripe" in page.text


@pytest.mark.parametrize("path", PAGES)
def test_pages_with_something_in_them(server, browser, busy, path):
    page = browser.get(server.pages + path, timeout=20)
    assert page.status_code == 200
    assert "1 h 30 min ahead" in page.text
    assert "<script" not in page.text and "style=" not in page.text
    assert "default-src" in page.headers["Content-Security-Policy"]
    assert "threads" not in page.text


def test_home_says_what_it_is_not(server, browser):
    page = re.sub(r"\s+", " ", browser.get(server.pages, timeout=20).text)
    assert "never been compared with Stripe’s servers" in page
    assert f"{server.base}" in page


def test_the_pages_are_english_whoever_asks(server, browser):
    page = browser.get(f"{server.pages}faults/", headers={"Accept-Language": "fr"}, timeout=20)
    assert 'lang="en"' in page.text and "Switch on" in page.text


def test_fire_again_button(server, browser, session, endpoint, receiver):
    event = checkout.pay(session.id).event
    deliveries.deliver_due()
    page = browser.get(f"{server.pages}events/", timeout=20).text
    token = TOKEN.search(page)[1]
    answer = browser.post(
        f"{server.pages}events/{event}/again/", data={"csrfmiddlewaretoken": token}, timeout=20
    )
    assert f'<code class="id">{event}</code>' in answer.text
    deliveries.deliver_due()
    assert [e["id"] for e in receiver.events].count(event) == 2
    gone = browser.post(
        f"{server.pages}events/evt_none/again/", data={"csrfmiddlewaretoken": token}, timeout=20
    )
    assert gone.status_code == 404


def test_hold_form(server, browser):
    browser.press(f"{server.pages}events/", held="on", order="newest")
    assert deliveries.held()
    browser.press(f"{server.pages}events/", order="oldest")
    assert not deliveries.held()


def test_keys_page_makes_and_revokes(server, browser, client, client_for):
    account = client.v1.accounts.retrieve_current().id
    answer = browser.press(
        f"{server.pages}keys/", account=account, mode="live", without=["event_read", "charge_read"]
    )
    made = answer.headers["Location"].partition("made=")[2]
    assert made.startswith("rk_live_")
    caller = keys.identify(made)
    assert (caller.account, caller.livemode) == (account, True)
    assert caller.without == {"event_read", "charge_read"}
    page = browser.get(f"{server.pages}keys/", timeout=20).text
    assert made in page
    token = TOKEN.search(page)[1]
    browser.post(
        f"{server.pages}keys/revoke/",
        data={"csrfmiddlewaretoken": token, "key": made},
        timeout=20,
    )
    assert "revoked" in browser.get(f"{server.pages}keys/", timeout=20).text
    wrong = browser.press(f"{server.pages}keys/", account="acct_none", mode="live")
    assert wrong.status_code == 400
    for path, data in (("revoke/", {"key": "x"}), ("acct_none/", account_form("acct_none"))):
        answer = browser.post(
            f"{server.pages}keys/{path}",
            data={"csrfmiddlewaretoken": token, **data},
            timeout=20,
        )
        assert answer.status_code == 404


def account_form(account, **changes):
    given = {"name": "Atelier", "country": "fr", "default_currency": "chf", **changes}
    return {f"{account}-{name}": value for name, value in given.items()}


def test_keys_page_changes_the_account(server, browser, client):
    account = client.v1.accounts.retrieve_current().id
    page = browser.get(f"{server.pages}keys/", timeout=20).text
    token = TOKEN.search(page)[1]
    url = f"{server.pages}keys/{account}/"
    wrong = {"csrfmiddlewaretoken": token, **account_form(account, country="F1")}
    assert browser.post(url, data=wrong, timeout=20).status_code == 400
    right = {"csrfmiddlewaretoken": token, **account_form(account)}
    assert browser.post(url, data=right, timeout=20).status_code == 200
    changed = client.v1.accounts.retrieve_current()
    assert (changed.country, changed.charges_enabled) == ("FR", False)


def test_clock_form(server, browser, client, session):
    page = browser.get(server.pages, timeout=20).text
    token = TOKEN.search(page)[1]
    for minutes in ("nonsense", "1440"):
        answer = browser.post(
            f"{server.pages}clock/",
            data={"csrfmiddlewaretoken": token, "minutes": minutes},
            timeout=20,
        )
        assert answer.status_code == 200
    assert "24 h ahead" in answer.text
    assert client.v1.checkout.sessions.retrieve(session.id).status == "expired"


def test_faults_form(server, browser):
    url = f"{server.pages}faults/"
    browser.press(url, kind="500", method="POST", path="/v1/checkout", times="2", delay_ms="")
    browser.press(url, kind="swallow", path="checkout.", times="")
    first, second = faults.active()
    assert (first["kind"], first["method"], first["remaining"]) == ("500", "POST", 2)
    assert (second["kind"], second["remaining"]) == ("swallow", None)
    assert browser.press(url, kind="402").status_code == 400
    page = browser.get(url, timeout=20).text
    token = {"csrfmiddlewaretoken": TOKEN.search(page)[1]}
    browser.post(f"{url}{first['id']}/remove/", data=token, timeout=20)
    assert [fault["id"] for fault in faults.active()] == [second["id"]]
    browser.post(f"{url}0/remove/", data=token, timeout=20)
    assert faults.active() == []


@pytest.mark.parametrize("path", ["clock/", "keys/revoke/", "events/evt_1/again/", "inbox/empty/"])
def test_get_changes_nothing(server, browser, path):
    assert browser.get(server.pages + path, timeout=20).status_code == 405


def test_forms_need_the_csrf_token(server):
    for path in ("clock/", "faults/", "keys/", "events/", "inbox/empty/"):
        assert requests.post(server.pages + path, data={}, timeout=20).status_code == 403


def test_no_login_and_no_transaction_is_needed():
    from wagtail_client_billing.sandbox.urls import urlpatterns

    for pattern in urlpatterns:
        assert pattern.callback.login_required is False
        assert pattern.callback._non_atomic_requests == {"default"}
        exempt = getattr(pattern.callback, "csrf_exempt", False)
        assert exempt == (pattern.name == "api")


# --------------------------------------------------------------------------- servers


def test_a_server_without_threads_is_told(client):
    browser = Client()  # it says that it has no threads
    answer = browser.get("/sandbox/stripe/v1/account", headers={"Authorization": "Bearer x"})
    assert answer.status_code == 500
    assert "--threads 4" in answer.json()["error"]["message"]
    assert "--threads 4" in browser.get("/sandbox/").text
    threaded = Client(**{"wsgi.multithread": True})
    assert "--threads 4" not in threaded.get("/sandbox/").text


def test_runserver_without_threads_is_seen():
    request = RequestFactory().get("/")
    request.environ = {"wsgi.multithread": True, "SERVER_SOFTWARE": "WSGIServer/0.2"}
    assert not connections.is_threaded(request)  # the main thread answers
    request.environ["SERVER_SOFTWARE"] = "gunicorn/27"
    assert connections.is_threaded(request)
    del request.environ  # ASGI
    assert connections.is_threaded(request)


def test_an_answer_is_cut_where_the_socket_cannot_be_found():
    from django.http import HttpResponse

    cut = connections.lose(RequestFactory().get("/"), HttpResponse("x" * 100))
    parts = iter(cut.streaming_content)
    assert len(next(parts)) == 20
    with pytest.raises(ConnectionResetError):
        next(parts)


# --------------------------------------------------------------------------- the app, its file


def test_the_app_refuses_production():
    config = apps.get_app_config("wagtail_client_billing_sandbox")
    config.ready()
    for debug, billing in ((False, {}), (False, {"SANDBOX": "yes"})):
        with (
            override_settings(DEBUG=debug, WAGTAIL_CLIENT_BILLING=billing),
            pytest.raises(ImproperlyConfigured, match="stand-in"),
        ):
            config.ready()
    with override_settings(DEBUG=True, WAGTAIL_CLIENT_BILLING={}):
        config.ready()


def test_where_the_books_are(tmp_path):
    with override_settings(WAGTAIL_CLIENT_BILLING={}, BASE_DIR=tmp_path):
        assert books.path() == tmp_path / "sandbox.sqlite3"
    with override_settings(WAGTAIL_CLIENT_BILLING={}, BASE_DIR=None):
        assert books.path() == Path.cwd() / "sandbox.sqlite3"
    with sandbox_books(tmp_path / "a.sqlite3"):
        assert books.events() == []
        assert (tmp_path / "a.sqlite3").exists()


def test_reset_forgets_everything(client, session, endpoint):
    checkout.pay(session.id)
    books.reset()
    assert books.sessions() == books.events() == books.deliveries() == books.api_calls() == []
    assert books.endpoints() == [] and keys.accounts() == []


def test_a_failed_transaction_leaves_nothing(client):
    class Stop(Exception):
        pass

    with pytest.raises(Stop), books.write() as db:
        books.note(db, "x", 1)
        raise Stop
    with books.read() as db:
        assert books.noted(db, "x") is None


def test_many_processes_may_open_new_books_at_once(tmp_path):
    path = tmp_path / "new.sqlite3"
    program = (
        "from django.conf import settings;"
        f"settings.configure(WAGTAIL_CLIENT_BILLING={{'SANDBOX_FILE': {str(path)!r}}});"
        "from wagtail_client_billing.sandbox import books;"
        "books.reset(); print(len(books.events()))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(4)
    ]
    assert [process.communicate(timeout=60)[0] for process in processes] == [b"0\n"] * 4
