"""The pages of a connected account: its key, its webhook endpoint, its legal pages, its end."""

import re
import sys
from datetime import timedelta

import pytest
import time_machine
from django.contrib.messages import get_messages
from django.core.signals import got_request_exception
from django.utils import timezone
from django.views.debug import ExceptionReporter
from django.views.decorators.debug import sensitive_variables
from wagtail.models import ModelLogEntry

from wagtail_client_billing import sealing, tasks
from wagtail_client_billing.gateway import client as gateway_client
from wagtail_client_billing.gateway import connect, endpoints
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.client import mark_broken
from wagtail_client_billing.gateway.endpoints import EVENTS
from wagtail_client_billing.models import StripeConnection, StripeEvent, WebhookEndpoint
from wagtail_client_billing.sandbox import books, faults, keys

KEY = "rk_test_changes_0123456789"
OTHER_KEY = "rk_test_otheraccount_9876543210"
SECRET = "whsec_made_by_hand_0123456789"
ENDPOINTS = "/v1/webhook_endpoints"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """No repetitions by the SDK and no lingering: neither is what is tested here."""
    monkeypatch.setattr(gateway_client, "RETRIES_WAITING", 0)
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 0)


class Staff:
    """Somebody in front of the admin, whose forms carry what the page gave them."""

    def __init__(self, client, admin_url, agency_url):
        self.client, self.admin_url, self.agency_url = client, admin_url, agency_url

    def tab(self):
        return self.client.get(self.agency_url).content.decode()

    def page(self, name, connection):
        return self.client.get(self.admin_url(name, connection.pk)).content.decode()

    def send(self, name, connection, **typed):
        url = self.admin_url(name, connection.pk)
        assert self.client.post(url, typed).status_code == 403, "no token, no change"
        token = re.search(
            r'name="csrfmiddlewaretoken" value="([^"]+)"', self.client.get(url).content.decode()
        )
        return self.client.post(url, {**typed, "csrfmiddlewaretoken": token[1]})


def said(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def errors_of(response):
    assert response.status_code == 200
    return {name: " ".join(found) for name, found in response.context["form"].errors.items()}


def noted(action):
    return ModelLogEntry.objects.get(action=f"client_billing.{action}")


@pytest.fixture
def staff(boss, client_for, admin_url, agency_url):
    return Staff(client_for(boss, enforce_csrf_checks=True), admin_url, agency_url)


@pytest.fixture
def link(world, db):
    """Links an account with a key that may not do some things."""

    def _link(without=(), key=KEY):
        if without:
            key = keys.make_key(keys.identify(KEY).account, without=without)
        return connect.connect_with_key(
            key=key,
            livemode=False,
            country="DE",
            privacy_policy_url="https://agency.example/privacy",
            terms_url="https://agency.example/terms",
            user=None,
        )

    return _link


@pytest.fixture
def linked(link):
    return link()


# --- Replace key ----------------------------------------------------------------------------


def test_another_key_of_the_account_heals_a_broken_connection(staff, linked):
    keys.revoke_key(KEY)
    mark_broken(linked, "Stripe no longer accepts the key of this account.")
    tab = staff.tab()
    assert "Broken" in tab and staff.admin_url("replace_key", linked.pk) in tab
    new = keys.make_key(linked.account_id)
    response = staff.send("replace_key", linked, key=f" {new}\n")
    assert "The key was replaced" in said(response) and KEY[-4:] in said(response)
    linked.refresh_from_db()
    assert linked.usable and sealing.open(linked.sealed_key) == new
    assert len(books.endpoints()) == 1
    assert noted("replace_key").data["last4"] == new[-4:]
    assert new not in str(noted("replace_key").data)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (OTHER_KEY, "another account"),
        ("rk_live_changes_0123456789", "connected in test mode"),
        ("pk_test_0123456789", "publishable"),
        ("", "required"),
    ],
)
def test_a_key_of_another_account_or_mode_is_refused(staff, linked, key, words):
    response = staff.send("replace_key", linked, key=key)
    assert words in errors_of(response)["key"]
    assert not key or key not in response.content.decode()
    linked.refresh_from_db()
    assert sealing.open(linked.sealed_key) == KEY
    assert not ModelLogEntry.objects.filter(action="client_billing.replace_key").exists()


def test_with_stripe_down_the_old_key_stays(world, staff, linked):
    world.down()
    found = errors_of(staff.send("replace_key", linked, key=keys.make_key(linked.account_id)))
    assert "cannot be reached" in found["__all__"] and "Enter the key again" in found["key"]
    linked.refresh_from_db()
    assert sealing.open(linked.sealed_key) == KEY


# --- Missing rights -------------------------------------------------------------------------


def test_missing_rights_are_named_by_their_boxes_until_they_are_there(staff, link):
    linked = link(without=["charge_read", "event_read"])
    assert linked.usable
    tab = staff.tab()
    for box in ("Charges and Refunds: read", "Events: read"):
        assert box in tab
    assert "Webhook Endpoints: write" not in tab
    StripeConnection.objects.update(
        sealed_key=sealing.seal(keys.make_key(linked.account_id, without=["event_read"]))
    )
    assert "is in order" in said(staff.send("check_account", linked))
    tab = staff.tab()
    assert "Charges and Refunds: read" not in tab and "Events: read" in tab


def test_a_right_that_is_taken_away_breaks_nothing(staff, linked):
    StripeConnection.objects.update(
        sealed_key=sealing.seal(
            keys.make_key(linked.account_id, without=["connected_account_read"])
        )
    )
    assert "Connected accounts" in said(staff.send("check_account", linked))
    linked.refresh_from_db()
    assert linked.usable
    assert "Connected accounts" in staff.tab()


# --- The webhook endpoint -------------------------------------------------------------------


def test_without_the_right_the_endpoint_is_registered_by_hand(world, staff, link, site_a):
    linked = link(without=["webhook_write"])
    endpoint = linked.endpoints.get()
    for text in (staff.tab(), staff.page("webhook", linked)):
        assert endpoint.url in text
        assert all(event in text for event in EVENTS)
        assert "the status is checked every 10 minutes" in text
    staff.send("check_account", linked)
    assert linked.endpoints.get().url == endpoint.url, "somebody may be typing it at Stripe"
    response = staff.send("webhook", linked, secret=SECRET)
    assert "Stripe tells us of payments" in said(response)
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.stripe_id) == ("active", "")
    assert SECRET not in staff.tab() and SECRET not in str(noted("roll_secret").data)
    assert world.deliver(event_of(linked), endpoint, secret=SECRET).status_code == 200
    assert "Working" in staff.tab()
    assert "delete it at Stripe" in staff.page("unlink", linked)


def event_of(connection):
    return {
        "id": f"evt_{connection.pk}_{StripeEvent.objects.count()}",
        "type": "checkout.session.completed",
        "livemode": False,
        "data": {"object": {"id": "cs_test_unknown"}},
    }


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "required"),
        ("nonsense", "not a signing secret"),
        ("whsec_", "not a signing secret"),
        ("whsec_0123456789 0123", "not a signing secret"),
        (KEY, "API key"),
        ("we_0123456789abcdef", "endpoint"),
        ("whsec_" + "x" * 1000, "255"),
        ("whsec_0123456789\0", "Null"),
    ],
)
def test_what_is_no_signing_secret_is_refused_beside_its_field(staff, link, secret, words):
    linked = link(without=["webhook_write"])
    response = staff.send("webhook", linked, secret=secret)
    assert words in errors_of(response)["secret"]
    assert not secret or len(secret) < 10 or secret not in response.content.decode()
    assert linked.endpoints.get().state == "missing"


def test_a_secret_rolled_by_hand_leaves_the_old_one_a_day(world, staff, link):
    linked = link(without=["webhook_write"])
    staff.send("webhook", linked, secret=SECRET)
    newer = SECRET + "_newer"
    assert "24 hours" in said(staff.send("webhook", linked, secret=newer))
    (endpoint,) = linked.endpoints.all()

    def answers(moment):
        with time_machine.travel(moment):
            return [
                world.deliver(event_of(linked), endpoint, secret=secret).status_code
                for secret in (SECRET, newer)
            ]

    now = timezone.now()
    assert answers(now + timedelta(hours=23)) == [200, 200]
    # The sweep may be late; the old secret is believed no longer all the same.
    assert answers(now + timedelta(hours=25)) == [400, 200]
    with time_machine.travel(now + timedelta(hours=25)):
        tasks.sweep()
    endpoint.refresh_from_db()
    assert [sealing.open(secret) for secret in endpoint.sealed_secrets] == [newer]


def test_a_secret_rolled_by_api_makes_a_second_endpoint_first(world, staff, linked):
    (first,) = linked.endpoints.all()
    assert "24 hours" in said(staff.send("webhook", linked, roll="1"))
    second = linked.endpoints.get(state="active")
    first.refresh_from_db()
    assert first.state == "retiring" and second.pk != first.pk
    assert len(books.endpoints()) == 2
    for endpoint in (first, second):
        assert world.deliver(event_of(linked), endpoint).status_code == 200
    now = timezone.now()
    for hours, left in ((23, 2), (25, 1)):
        with time_machine.travel(now + timedelta(hours=hours)):
            tasks.sweep()
        assert len(books.endpoints()) == left
    first.refresh_from_db()
    assert first.state == "deleted"
    assert books.endpoints()[0]["id"] == second.stripe_id


def test_a_roll_that_is_refused_or_lost_leaves_the_endpoint_as_it_is(world, staff, linked):
    (first,) = linked.endpoints.all()
    less = keys.make_key(linked.account_id, without=["webhook_write"])
    StripeConnection.objects.update(sealed_key=sealing.seal(less))
    assert "Webhook Endpoints: write" in said(staff.send("webhook", linked, roll="1"))
    assert linked.endpoints.get(state="active") == first
    StripeConnection.objects.update(sealed_key=sealing.seal(KEY))
    faults.add("lost", path=ENDPOINTS, method="POST")
    assert "cannot be reached" in said(staff.send("webhook", linked, roll="1"))
    assert len(books.endpoints()) == 2
    assert linked.endpoints.get(state="active") == first, "it works until the second does"
    with time_machine.travel(timezone.now() + timedelta(minutes=3)):
        tasks.sweep()
    first.refresh_from_db()
    assert first.state == "retiring"
    assert linked.endpoints.filter(state="active").count() == 1
    assert len(books.endpoints()) == 2


# --- Legal pages ----------------------------------------------------------------------------


def test_the_legal_pages_are_changed_on_the_connected_card(staff, linked):
    assert staff.admin_url("legal_pages", linked.pk) in staff.tab()
    typed = {
        "privacy_policy_url": "https://agency.example/privacy",
        "terms_url": "https://agency.example/terms-2",
    }
    staff.send("legal_pages", linked, **typed)
    linked.refresh_from_db()
    assert linked.terms_url == typed["terms_url"]
    assert noted("change_terms").data["terms_url"] == typed["terms_url"]
    assert "privacy_policy_url" not in noted("change_terms").data


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "required"),
        ("http://agency.example/terms", "https://"),
        ("javascript:alert(1)", "https://"),
        ("https://a@b.example/", "user name"),
        ("https://agency.example/\0", "Null"),
    ],
)
def test_rule_14_a_bad_legal_page_is_refused_beside_its_field(staff, linked, typed, words):
    given = {"privacy_policy_url": "https://agency.example/new", "terms_url": typed}
    response = staff.send("legal_pages", linked, **given)
    assert words in errors_of(response)["terms_url"]
    form = response.context["form"]
    assert {name: form[name].value() for name in given} == given
    linked.refresh_from_db()
    assert linked.privacy_policy_url == "https://agency.example/privacy"


# --- Unlink, and link again -----------------------------------------------------------------


def test_unlinking_in_an_outage_is_shown_and_goes_on_by_a_click(
    world, staff, linked, site_a, make_request
):
    bill = make_request(site_a, linked)
    open_checkout(bill.pk)
    assert "1 open payment page at Stripe is closed" in staff.page("unlink", linked)
    world.down()
    response = staff.send("unlink", linked)
    assert "is being unlinked" in said(response) and bill.number in said(response)
    assert "1 open payment page is still to be closed" in staff.tab()
    world.up()
    staff.send("unlink", linked)
    tab = staff.tab()
    assert "being unlinked" not in tab
    assert "Pending requests of it: 1" in tab
    assert books.endpoints() == world.payable(bill) == []
    linked.refresh_from_db()
    assert linked.sealed_key == ""


def test_what_arrives_late_is_verified_kept_and_checked_after_linking_again(
    world, staff, link, linked, site_a, make_request
):
    bill = make_request(site_a, linked)
    open_checkout(bill.pk)
    endpoint = linked.endpoints.get()
    session = world.pay(bill)
    (event,) = world.events("checkout.session.completed")
    keys.revoke_key(KEY)  # so that unlinking cannot ask any more
    staff.send("unlink", linked)
    assert world.deliver({**event, "account": None}, endpoint).status_code == 200
    tasks.drain_events()
    assert StripeEvent.objects.get().get_state_display() == "Not checked: account unlinked"
    assert "Stripe events not checked: 1" in staff.tab()
    link(key=keys.make_key(linked.account_id))
    tasks.drain_events()
    bill.refresh_from_db()
    assert (bill.status, StripeEvent.objects.get().state) == ("paid", "processed")
    assert session and len(books.endpoints()) == 1


def test_address_and_secret_of_an_unlinked_account_stay_thirty_days(world, linked):
    connect.unlink(linked)
    endpoint = linked.endpoints.get()
    now = timezone.now()
    for days, kept in ((29, True), (31, False)):
        with time_machine.travel(now + timedelta(days=days)):
            tasks.sweep()
            endpoint.refresh_from_db()
            assert bool(endpoint.sealed_secrets) is kept
            answer = world.deliver(event_of(linked), endpoint, secret=SECRET)
            assert answer.status_code == 400
    assert WebhookEndpoint.objects.count() == 1


def test_the_account_s_country_is_taken_and_said(world, staff, admin_url, agency_url):
    text = staff.tab()
    token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)[-1]
    typed = {
        "csrfmiddlewaretoken": token,
        "test_mode": "on",
        "country": "FR",
        "privacy_policy_url": "https://agency.example/privacy",
        "terms_url": "https://agency.example/terms",
        "key": KEY,
    }
    response = staff.client.post(admin_url("connect"), typed)
    assert "in Germany, not in France" in said(response)
    assert StripeConnection.objects.get().country == "DE"


@pytest.mark.parametrize("name", ["connect", "replace_key", "webhook"])
def test_rule_10_no_error_report_shows_what_was_typed(
    linked, boss, client_for, admin_url, monkeypatch, name
):
    reports = []

    def report(request, **kwargs):
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.append(reporter.get_traceback_html() + reporter.get_traceback_text())

    @sensitive_variables()
    def bug(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(connect, "_check_kind", bug)
    monkeypatch.setattr(endpoints, "store_secret", bug)
    client = client_for(boss, raise_request_exception=False)
    typed = {
        "test_mode": "on",
        "country": "DE",
        "privacy_policy_url": "https://agency.example/privacy",
        "terms_url": "https://agency.example/terms",
        "key": OTHER_KEY,
        "secret": SECRET,
    }
    got_request_exception.connect(report)
    try:
        url = admin_url(name, *([] if name == "connect" else [linked.pk]))
        assert client.post(url, typed).status_code == 500
    finally:
        got_request_exception.disconnect(report)
    (text,) = reports
    assert "ZeroDivisionError" in text
    assert OTHER_KEY not in text and SECRET not in text


def test_rule_9_only_who_may_change_the_agency_settings_may_do_any_of_it(
    linked, alice, client_for, admin_url
):
    for name in ("replace_key", "webhook", "legal_pages", "unlink", "check_account"):
        url = admin_url(name, linked.pk)
        for send in (client_for(alice).get, client_for(alice).post):
            # Wagtail leads home whoever lacks a right.
            assert send(url).status_code in (302, 403)
    linked.refresh_from_db()
    assert linked.usable and sealing.open(linked.sealed_key) == KEY
