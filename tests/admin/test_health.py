"""Health: every finding of the doctor is made by breaking the thing, and goes when it is mended."""

import json
from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from cryptography.fernet import Fernet
from django.apps import apps
from django.contrib.messages import get_messages
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone
from wagtail.models import Site

from tests.bills.conftest import agency, connection
from wagtail_client_billing import rights, tasks
from wagtail_client_billing.gateway import connect
from wagtail_client_billing.gateway.client import api_for
from wagtail_client_billing.health import Level, diagnose, examine
from wagtail_client_billing.health.surroundings import addresses
from wagtail_client_billing.models import (
    Heartbeat,
    SiteBillingSettings,
    StripeConnection,
    StripeEvent,
    WebhookEndpoint,
)
from wagtail_client_billing.sandbox import books, keys
from wagtail_client_billing.scheduling import schedule_sweep

__all__ = ["agency", "connection"]


def ours(**more):
    from django.conf import settings

    return override_settings(WAGTAIL_CLIENT_BILLING={**settings.WAGTAIL_CLIENT_BILLING, **more})


@pytest.fixture
def healthy(world, connection, agency):
    schedule_sweep()
    tasks.sweep()
    with ours(ENCRYPTION_KEYS=[Fernet.generate_key().decode()]):
        yield connection


def unwell(findings=None):
    """Checks that are not fine, with their levels."""
    found = examine() if findings is None else findings
    return {
        (each.check, str(each.level))
        for each in found
        # The test settings have a cache of one process, and no https.
        if each.level != Level.OK and not each.text.endswith(("W011)", "W012)"))
    }


class ProjectPolicy:
    """A middleware of somebody's that puts its policy on every page, ours included."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        response.headers["Content-Security-Policy"] = "default-src 'self'; form-action 'self'"
        return response


def test_a_healthy_installation_after_asking(healthy):
    found = examine()
    assert unwell(found) == set()
    names = {each.check for each in found}
    assert {"stripe", "broker", "csp", "copies", "clock", "rights"} <= names
    healthy.refresh_from_db()
    assert abs(healthy.clock_skew_seconds) <= 2


def test_asking_changes_nothing_at_stripe(healthy):
    before = len(books.api_calls())
    examine()
    done = [call for call in books.api_calls()[before:] if call["status"] < 400]
    assert {call["method"] for call in done} == {"GET"}
    (endpoint,) = books.endpoints()
    assert endpoint["id"] == healthy.endpoints.get().stripe_id


def test_a_revoked_key(healthy):
    keys.revoke_key("rk_test_bills_0123456789")
    assert unwell() == {("connections", "problem")}
    healthy.refresh_from_db()
    assert healthy.broken_at


def test_stripe_out_of_reach_and_back(healthy, world, monkeypatch):
    # The waits of the SDK between its tries are not what is tested here.
    monkeypatch.setattr("wagtail_client_billing.gateway.client.RETRIES_WAITING", 0)
    world.down()
    assert unwell() == {("stripe", "problem")}
    world.up()
    assert unwell() == set()


@pytest.mark.parametrize("how", ["deleted", "disabled"])
def test_an_endpoint_that_stripe_has_no_more_is_made_again(healthy, world, how):
    old = healthy.endpoints.get()
    asker = api_for(healthy)
    if how == "deleted":
        asker.call(lambda client: client.v1.webhook_endpoints.delete(old.stripe_id))
    else:
        disable = {"disabled": True}
        asker.call(lambda client: client.v1.webhook_endpoints.update(old.stripe_id, disable))
    assert unwell(diagnose()) == set()
    assert unwell() == {("webhooks", "advice")}
    old.refresh_from_db()
    assert old.state == "missing"
    # Check again makes another; the row of the first stays, for what it still has to verify.
    connect.check(healthy)
    assert unwell() == set()
    old.refresh_from_db()
    assert old.state == "deleted"
    (alive,) = books.endpoints()
    assert alive["id"] == healthy.endpoints.get(state="active").stripe_id != old.stripe_id


def test_a_clock_that_is_wrong(healthy):
    with time_machine.travel(timezone.now() + timedelta(minutes=10)):
        Heartbeat.beat("sweep")
        found = examine()
        assert unwell(found) == {("clock", "problem")}
        (text,) = [each.text for each in found if each.check == "clock"]
        assert "ahead" in text
    with time_machine.travel(timezone.now() - timedelta(seconds=50)):
        assert unwell() == {("clock", "advice")}
    assert unwell() == set()


@pytest.mark.parametrize(
    ("slug", "level"), [("rak_charge_read", "advice"), ("rak_payment_intent_read", "problem")]
)
def test_a_key_that_lacks_a_permission(healthy, slug, level):
    StripeConnection.objects.update(missing_rights=[slug])
    found = diagnose()
    assert unwell(found) == {("rights", level)}
    (text,) = [each.text for each in found if each.check == "rights"]
    assert rights.box(slug) in text
    StripeConnection.objects.update(missing_rights=[])
    assert unwell(diagnose()) == set()


def test_a_worker_that_stopped(healthy):
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert unwell(diagnose()) == {("worker", "problem")}
        tasks.sweep()
        assert unwell(diagnose()) == set()


def test_a_schedule_that_is_missing_or_paused(healthy):
    rows = apps.get_model("django_q", "Schedule").objects.all()
    for ill in ({"repeats": 0}, {"next_run": timezone.now() + timedelta(days=300)}):
        before = rows.values(*ill).get()
        rows.update(**ill)
        # The sweep runs all the same: by cron, then.
        assert unwell(diagnose()) == {("schedule", "advice")}
        rows.update(**before)
    rows.delete()
    Heartbeat.objects.all().delete()
    assert unwell(diagnose()) == {("schedule", "problem"), ("worker", "problem")}
    schedule_sweep()
    tasks.sweep()
    assert unwell(diagnose()) == set()


def test_tables_of_django_q_that_are_missing(healthy, monkeypatch):
    schedule = apps.get_model("django_q", "Schedule")
    monkeypatch.setattr(schedule._meta, "db_table", "not_migrated")
    assert unwell(diagnose()) == {("schedule", "problem")}
    monkeypatch.undo()
    assert unwell(diagnose()) == set()


class NoBroker:
    def __init__(self, list_key=None):
        raise ConnectionRefusedError("nobody listens")


def test_a_broker_that_is_down(healthy, monkeypatch):
    from django_q.conf import Conf

    monkeypatch.setattr(Conf, "BROKER_CLASS", "tests.admin.test_health.NoBroker")
    assert unwell() == {("broker", "problem")}
    monkeypatch.undo()


def test_a_policy_that_stops_clients_on_the_way_to_stripe(healthy, settings):
    settings.MIDDLEWARE = [f"{__name__}.ProjectPolicy", *settings.MIDDLEWARE]
    assert unwell() == {("csp", "problem")}
    settings.MIDDLEWARE = settings.MIDDLEWARE[1:]
    assert unwell() == set()


def test_sites_that_are_not_reached_by_https(healthy, settings):
    Site.objects.update(hostname="bakery.example", port=8080)
    assert unwell(diagnose()) == {("addresses", "advice")}
    StripeConnection.objects.update(livemode=True)
    assert ("addresses", "problem") in unwell(diagnose())
    StripeConnection.objects.update(livemode=False)
    Site.objects.update(port=443)
    assert unwell(diagnose()) == set()
    settings.WAGTAILADMIN_BASE_URL = ""
    assert ("addresses", "problem") in unwell(diagnose())


@pytest.mark.parametrize(
    ("port", "host", "chosen", "debug", "well"),
    [
        (443, "bakery.example", "", False, True),
        (80, "bakery.example", "", False, True),
        (80, "bakery.example", "", True, False),
        (8080, "bakery.example", "", False, False),
        (8080, "bakery.localhost", "", False, True),
        (8080, "bakery.example", "https://pay.example", False, True),
        (443, "bakery.example", "http://pay.example", False, False),
        (443, "bakery.example", "http://localhost:8000", False, True),
    ],
)
def test_the_address_of_a_site_is_judged_as_links_are_made(
    port, host, chosen, debug, well, healthy, settings
):
    settings.DEBUG = debug
    Site.objects.update(hostname=host, port=port)
    SiteBillingSettings.objects.update_or_create(
        site=Site.objects.get(), defaults={"billing_address": chosen}
    )
    # The system checks have a word on addresses, too.
    found = [each for each in addresses(timezone.now()) if each.check == "addresses"]
    assert [each.level == Level.OK for each in found] == [well]


def test_settings_of_the_database_mail_and_encryption(healthy, settings):
    with ours(ENCRYPTION_KEYS=[]):
        assert ("encryption", "advice") in unwell(diagnose())
    with ours(ENCRYPTION_KEYS=["nonsense"]):
        assert {("encryption", "problem"), ("secrets", "problem")} <= unwell(diagnose())
    settings.Q_CLUSTER = {"orm": "default", "timeout": 60, "retry": 60}
    assert ("worker", "advice") in unwell(diagnose())


def test_a_copy_of_production(healthy):
    with override_settings(WAGTAILADMIN_BASE_URL="https://staging.example.com"):
        assert ("copies", "problem") in unwell()
        assert healthy.endpoints.get().state == "active"
        healthy.host = "staging.example.com"
        healthy.save()
        assert not [each for each in unwell(diagnose()) if each[0] == "copies"]


# --- The command ----------------------------------------------------------------------------


def doctor(*options):
    out = StringIO()
    try:
        call_command("client_billing_doctor", *options, stdout=out)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0


def test_the_command_asks_stripe_unless_it_is_told_not_to(healthy):
    keys.revoke_key("rk_test_bills_0123456789")
    before = len(books.api_calls())
    assert doctor("--offline")[1] == 0
    assert len(books.api_calls()) == before
    out, code = doctor("--json")
    assert code == 1
    (broken,) = [each for each in json.loads(out) if each["level"] == "problem"]
    assert broken["check"] == "connections"
    assert broken["todo"]
    for secret in ("rk_test_", "whsec_"):
        assert secret not in out


# --- The page -------------------------------------------------------------------------------


def test_the_tab_shows_what_to_do_and_asks_nobody(healthy, boss, client_for, agency_url):
    before = len(books.api_calls())
    client = client_for(boss)
    text = client.get(agency_url).content.decode()
    assert 'href="#tab-health"' in text
    assert "checks are fine" in text
    Heartbeat.objects.all().delete()
    text = client.get(agency_url).content.decode()
    assert "The sweep has never run." in text
    assert "Start a worker (manage.py qcluster)" in text
    assert len(books.api_calls()) == before


def test_check_now_asks_stripe_and_shows_what_it_said(
    healthy, boss, alice, client_for, admin_url, agency_url
):
    url = admin_url("health")
    client = client_for(boss, enforce_csrf_checks=True)
    page = client.get(url)
    assert "asked just now" not in page.content.decode()
    assert client.post(url).status_code == 403
    WebhookEndpoint.objects.update(stripe_id="we_gone")
    answer = client.post(url, {"csrfmiddlewaretoken": str(page.context["csrf_token"])})
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "asked just now" in text
    assert "Stripe does not have it any more." in text
    assert "rk_test_" not in text and "whsec_" not in text
    assert "Stripe does not have it any more." in client.get(agency_url).content.decode()
    assert client_for(alice).post(url).status_code in (302, 403)


def test_health_with_atomic_requests(healthy, boss, client_for, admin_url, monkeypatch):
    from django.db import connection as database

    monkeypatch.setitem(database.settings_dict, "ATOMIC_REQUESTS", True)
    assert client_for(boss).post(admin_url("health")).status_code == 200


def test_health_in_french(healthy, boss, client_for, admin_url):
    from wagtail.users.models import UserProfile

    profile = UserProfile.get_for_user(boss)
    profile.preferred_language = "fr"
    profile.save()
    text = client_for(boss).get(admin_url("health")).content.decode()
    assert "contrôles en ordre" in text
    assert "Dernier contrôle régulier" in text
    assert "checks are fine" not in text


@pytest.fixture
def given_up(connected_test):
    return [
        StripeEvent.objects.create(
            connection=connected_test,
            event_id=f"evt_{n}",
            type="invoice.paid",
            livemode=False,
            state="parked",
            attempts=20,
            processed_at=timezone.now(),
            last_error=f"Stripe said <no> {n} é",
        )
        for n in range(2)
    ]


def test_events_that_were_given_up_are_shown_and_tried_again(
    given_up, boss, client_for, admin_url, agency_url
):
    client = client_for(boss, enforce_csrf_checks=True)
    for url in (admin_url("health"), agency_url):
        text = client.get(url).content.decode()
        for shown in (
            "Stripe events that were given up: 2.",
            "invoice.paid",
            "Stripe said &lt;no&gt; 1 é",
            "evt_0",
            admin_url("replay"),
        ):
            assert shown in text, shown
    url = admin_url("replay")
    assert client.get(url)["Location"] == admin_url("health")
    assert client.post(url).status_code == 403
    assert StripeEvent.objects.filter(state="parked").count() == 2
    sent = {"csrfmiddlewaretoken": client.cookies["csrftoken"].value}
    for words in ("2 events are tried again", "Nothing is given up any more"):
        response = client.post(url, sent)
        assert response["Location"] == admin_url("health")
        said = [str(message) for message in get_messages(response.wsgi_request)]
        assert words in " ".join(said)
    assert set(StripeEvent.objects.values_list("state", "attempts")) == {("received", 0)}
    text = client.get(admin_url("health")).content.decode()
    assert "were given up" not in text


def test_trying_events_again_is_the_agencys_right(given_up, alice, client_for, admin_url):
    response = client_for(alice).post(admin_url("replay"))
    assert response.status_code == 302
    assert StripeEvent.objects.filter(state="parked").count() == 2
