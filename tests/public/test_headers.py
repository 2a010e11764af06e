"""The headers of every public URL, whatever the answer is."""

import django
import pytest
from django.test import Client, override_settings
from django.urls import reverse

from tests.public.conftest import STATES, address, pay
from tests.public.test_rules import public_urls

URLS = ["pay", "checkout", "return", "receipt", "portal", "webhook"]
EXPECTED = {
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
    "X-Robots-Tag": "noindex",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
}


def check(response):
    for name, value in EXPECTED.items():
        assert response.headers[name] == value, name


def path_of(name, bill, endpoint):
    if name == "receipt":
        return f"{address('pay', bill)}receipt/{pay(bill).pk}/"
    if name == "webhook":
        return reverse("client_billing:webhook", args=[endpoint.uuid])
    return address(name, bill)


@pytest.mark.parametrize("method", ["get", "head", "post", "put", "options"])
@pytest.mark.parametrize("name", URLS)
def test_every_url_and_method(bill, endpoint, name, method):
    assert name in public_urls()
    check(getattr(Client(), method)(path_of(name, bill, endpoint)))


def test_no_url_is_left_out():
    assert public_urls() == set(URLS)


@pytest.mark.parametrize("state", STATES)
def test_every_state(bill_in, state):
    check(Client().get(address("pay", bill_in(state))))


def test_unknown_bills(db):
    for name in ("pay", "return"):
        check(Client().get(reverse(f"client_billing:{name}", args=["D" * 43])))


def test_nothing_inline_on_a_receipt(bill):
    response = Client().get(f"{address('pay', bill)}receipt/{pay(bill).pk}/")
    check(response)
    page = response.content.decode()
    for forbidden in ("<script", " style=", "<style", "onclick", "<img", "<form"):
        assert forbidden not in page


def test_no_policy_of_the_project_takes_the_place_of_ours(bill):
    strict = {"default-src": ["'self'"], "form-action": ["'self'"]}
    if django.VERSION >= (6, 0):
        project = {"SECURE_CSP": strict}
    else:
        project = {"CONTENT_SECURITY_POLICY": {"DIRECTIVES": strict}}
    with override_settings(**project):
        response = Client().get(address("pay", bill))
    check(response)
    assert "form-action" not in response.headers["Content-Security-Policy"]


def test_static_files_of_another_host_are_let_in(bill):
    with override_settings(STATIC_URL="https://static.example.com/files/"):
        response = Client().get(address("pay", bill))
    policy = response.headers["Content-Security-Policy"]
    assert "style-src 'self' https://static.example.com;" in policy
    assert "img-src 'self' https://static.example.com data:;" in policy


@pytest.mark.parametrize("state", STATES)
def test_nothing_inline_and_nothing_from_elsewhere(bill_in, state):
    page = Client().get(address("pay", bill_in(state))).content.decode()
    for forbidden in ("<script", " style=", "<style", "onclick", "<img", "@import"):
        assert forbidden not in page
    assert page.count('<link rel="stylesheet"') == 1
    assert 'href="/static/wagtail_client_billing/public.css"' in page


@override_settings(
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
)
@pytest.mark.parametrize("name", URLS)
def test_nobody_has_to_log_in(bill, endpoint, name):
    path = path_of(name, bill, endpoint)
    posted = name in ("checkout", "portal", "webhook")
    response = Client().post(path) if posted else Client().get(path)
    assert response.status_code != 302


@pytest.mark.parametrize("name", URLS)
def test_rule_7_no_page_is_inside_of_a_transaction(name):
    from django.urls import resolve

    path = "/billing/stripe/webhook/8f9ee0ea-4cbe-4d40-a4bd-0ff5fb1d9b6c/"
    if name != "webhook":
        more = ["1"] if name == "receipt" else []
        path = reverse(f"client_billing:{name}", args=["E" * 43, *more])
    view = resolve(path).func
    assert "default" in view._non_atomic_requests
