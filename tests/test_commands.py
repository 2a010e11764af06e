"""The commands: sweep, doctor, rotate_keys."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone
from wagtail.models import Site

from wagtail_client_billing import lifecycle, sealing
from wagtail_client_billing.models import (
    AgencySettings,
    BillingRequest,
    CheckoutAttempt,
    EmailDelivery,
    Heartbeat,
    MailServer,
    Payment,
    StripeConnection,
    StripeEvent,
    WebhookEndpoint,
)

LONG_AGO = timedelta(hours=2)


def ours(**more):
    from django.conf import settings

    return override_settings(WAGTAIL_CLIENT_BILLING={**settings.WAGTAIL_CLIENT_BILLING, **more})


@pytest.fixture
def connection(db):
    return StripeConnection.objects.create(
        livemode=False,
        flow="restricted_key",
        account_id="acct_1",
        account_name="Atelier",
        charges_enabled=True,
        sealed_key=sealing.seal("rk_test_commands_0123456789"),
        privacy_policy_url="https://atelier.example/privacy",
        terms_url="https://atelier.example/terms",
    )


@pytest.fixture
def endpoint(connection):
    return WebhookEndpoint.objects.create(
        connection=connection,
        livemode=False,
        url="https://www.example.com/hook/",
        idempotency_key="k",
        sealed_secrets=[sealing.seal("whsec_1"), sealing.seal("whsec_2")],
        state="active",
    )


@pytest.fixture
def bill(connection):
    return lifecycle.create_request(
        site=Site.objects.get(is_default_site=True),
        connection=connection,
        email="client@customer.example",
        currency="EUR",
        amount_minor=100,
        success_url="https://bakery.example/thanks",
        cancel_url="https://bakery.example/cancelled",
    )


def run(*args):
    out = StringIO()
    try:
        call_command(*args, stdout=out)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0


# --- client_billing_sweep -------------------------------------------------------------------


def test_sweep_does_what_the_worker_would(bill):
    overdue = timezone.now() - LONG_AGO
    other = BillingRequest.objects.create(
        number="old", site=bill.site, site_name="x", account_id="acct_1", livemode=False,
        email="a@b.example", currency="EUR", amount_minor=1, success_url="https://x.example/",
        cancel_url="https://x.example/", created_at=overdue, expires_at=overdue,
    )  # fmt: skip
    out, code = run("client_billing_sweep")
    assert code == 0
    assert "Done" in out
    other.refresh_from_db()
    assert other.status == "expired"
    assert len(mail.outbox) == 1
    assert Heartbeat.objects.filter(name="sweep").exists()
    assert run("client_billing_sweep")[0] == "Done: 0.\n"


def test_sweep_leaves_room_for_the_next_one(bill, monkeypatch):
    from wagtail_client_billing import tasks
    from wagtail_client_billing.management.commands import client_billing_sweep

    monkeypatch.setattr(client_billing_sweep, "START_NO_ROUND_AFTER_SECONDS", 0)
    monkeypatch.setattr(tasks, "sweep", lambda: 3)
    assert run("client_billing_sweep")[0] == "Done: 3.\n"


def test_sweep_goes_on_until_nothing_is_due(bill, monkeypatch):
    from wagtail_client_billing import tasks

    left = [3, 2, 0, 99]
    monkeypatch.setattr(tasks, "sweep", lambda: left.pop(0))
    assert run("client_billing_sweep")[0] == "Done: 5.\n"
    assert left == [99]
    assert run("client_billing_sweep", "--once")[0] == "Done: 99.\n"


# --- client_billing_rotate_keys -------------------------------------------------------------


def test_sweep_tries_again_what_was_given_up_when_asked_to(endpoint):
    for n, state in enumerate(["parked", "parked", "processed"]):
        StripeEvent.objects.create(
            endpoint=endpoint,
            event_id=f"evt_{n}",
            type="checkout.session.completed",
            livemode=False,
            state=state,
            attempts=20,
        )
    out = StringIO()
    call_command("client_billing_sweep", stdout=out)
    assert "try again" not in out.getvalue()
    assert StripeEvent.objects.filter(state="parked").count() == 2
    call_command("client_billing_sweep", "--replay", stdout=out)
    assert "Events to try again: 2." in out.getvalue()
    # And they were tried in the same run.
    assert not StripeEvent.objects.filter(state__in=["parked", "received"]).exists()
    quiet = StringIO()
    call_command("client_billing_sweep", "--replay", verbosity=0, stdout=quiet)
    assert not quiet.getvalue()


def test_rotate_seals_everything_with_the_newest_key(connection, endpoint):
    server = MailServer.objects.create(sealed_password=sealing.seal("a password"))
    new = Fernet.generate_key().decode()
    with ours(ENCRYPTION_KEYS=[new]):
        assert run("client_billing_rotate_keys") == ("Sealed anew: 3.\n", 0)
    server.refresh_from_db()
    opened = Fernet(new).decrypt(server.sealed_password.removeprefix(sealing.PREFIX).encode())
    assert opened == b"a password"
    connection.refresh_from_db()
    endpoint.refresh_from_db()
    # Nothing but the new key opens them now.
    with override_settings(SECRET_KEY="another"), ours(ENCRYPTION_KEYS=[new]):
        assert sealing.open(connection.sealed_key) == "rk_test_commands_0123456789"
        assert [sealing.open(each) for each in endpoint.sealed_secrets] == ["whsec_1", "whsec_2"]


@pytest.mark.parametrize("state", ["retiring", "deleted"])
def test_rotate_seals_the_secrets_that_late_deliveries_need(connection, endpoint, state):
    WebhookEndpoint.objects.update(state=state)
    StripeConnection.objects.update(sealed_key="")
    assert run("client_billing_rotate_keys") == ("Sealed anew: 1.\n", 0)


def test_rotate_says_what_it_cannot_open_and_does_the_rest(connection, endpoint):
    StripeConnection.objects.update(sealed_key="enc1:nonsense")
    with pytest.raises(CommandError, match="the key of Atelier"):
        call_command("client_billing_rotate_keys", stdout=StringIO())
    connection.refresh_from_db()
    assert connection.sealed_key == "enc1:nonsense"
    before = endpoint.sealed_secrets
    endpoint.refresh_from_db()
    assert endpoint.sealed_secrets != before


# --- client_billing_doctor ------------------------------------------------------------------


@pytest.fixture
def healthy(connection, endpoint, bill):
    AgencySettings.objects.create(contact_email="hello@atelier.example")
    run("client_billing_sweep")
    with ours(ENCRYPTION_KEYS=[Fernet.generate_key().decode()]):
        yield


def doctor():
    out, code = run("client_billing_doctor", "--json", "--offline")
    return {(each["check"], each["level"]) for each in json.loads(out)}, code, out


def test_a_healthy_installation(healthy):
    found, code, _ = doctor()
    assert code == 0
    assert {level for _, level in found} <= {"ok", "advice"}
    assert {check for check, _ in found} == {
        "settings", "migrations", "secrets", "connections", "rights", "webhooks", "clock",
        "copies", "worker", "schedule", "mail", "requests", "events", "agency", "addresses",
        # The tests run with a cache of one process.
        "cache",
    }  # fmt: skip


def test_it_reads_well_without_json(healthy):
    Heartbeat.objects.all().delete()
    out, code = run("client_billing_doctor", "--offline")
    assert code == 1
    assert "PROBLEM  The sweep has never run." in out
    assert "→ Start a worker" in out


def stuck_hold(bill, **_):
    BillingRequest.objects.update(hold="delete", hold_since=timezone.now() - LONG_AGO)


def needs_review(bill, **_):
    BillingRequest.objects.update(review_since=timezone.now())


def failed_mail(bill, **_):
    EmailDelivery.objects.update(state="failed", problem="refused")


def late_mail(bill, **_):
    EmailDelivery.objects.update(
        state="queued", created_at=timezone.now() - LONG_AGO, problem="unreachable"
    )


def broken_connection(**_):
    StripeConnection.objects.update(broken_at=timezone.now(), broken_why="The key was revoked.")


def restricted_account(**_):
    StripeConnection.objects.update(charges_enabled=False)


def unreadable_key(**_):
    StripeConnection.objects.update(sealed_key="enc1:nonsense")


def unreadable_webhook_secret(**_):
    WebhookEndpoint.objects.update(sealed_secrets=["enc1:nonsense"])


def no_sweep(**_):
    Heartbeat.objects.update(beat_at=timezone.now() - LONG_AGO)


def late_event(endpoint, **_):
    StripeEvent.objects.create(
        endpoint=endpoint,
        event_id="evt_1",
        type="x",
        livemode=False,
        received_at=timezone.now() - LONG_AGO,
        last_error="Stripe cannot be reached",
    )


def webhook_that_is_silent(bill, endpoint, **_):
    WebhookEndpoint.objects.update(created_at=timezone.now() - 2 * LONG_AGO)
    attempt = CheckoutAttempt.objects.create(
        request=bill, n=1, state="complete", account_id="acct_1", livemode=False, amount_minor=1,
        currency="EUR", idempotency_key="k", expires_at=timezone.now(),
    )  # fmt: skip
    Payment.objects.create(
        request=bill, attempt=attempt, account_id="acct_1", livemode=False, source="pi_1",
        amount_minor=1, currency="EUR", received_at=timezone.now() - LONG_AGO,
    )  # fmt: skip


ILLS = [
    (stuck_hold, "requests"),
    (needs_review, "requests"),
    (failed_mail, "mail"),
    (late_mail, "mail"),
    (broken_connection, "connections"),
    (restricted_account, "connections"),
    (unreadable_key, "secrets"),
    (unreadable_webhook_secret, "secrets"),
    (no_sweep, "worker"),
    (late_event, "events"),
    (webhook_that_is_silent, "webhooks"),
]


@pytest.mark.parametrize(("ill", "check"), ILLS, ids=lambda each: getattr(each, "__name__", each))
def test_what_needs_doing_is_found(healthy, bill, endpoint, ill, check):
    ill(bill=bill, endpoint=endpoint)
    found, code, out = doctor()
    assert code == 1
    assert {name for name, level in found if level == "problem"} == {check}
    assert all(each["todo"] for each in json.loads(out) if each["level"] == "problem")
    for secret in (bill.token, "rk_test_", "whsec_", bill.email):
        assert secret not in out


def test_a_mail_that_was_sent_again_is_no_problem(healthy, bill):
    EmailDelivery.objects.update(state="failed", problem="refused")
    lifecycle.resend(bill, user=None)
    run("client_billing_sweep")
    assert doctor()[1] == 0


def test_a_mail_that_became_needless_is_no_problem(healthy):
    EmailDelivery.objects.update(state="dropped", problem="obsolete")
    assert doctor()[1] == 0


def test_wrong_settings_are_a_problem(healthy):
    with ours(TRUSTED_PROXIES=["nonsense"]):
        found, code, _ = doctor()
    assert code == 1
    assert ("settings", "problem") in found


def test_missing_tables_are_said_and_nothing_else_is_tried(db, monkeypatch):
    from django.db.migrations.executor import MigrationExecutor

    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *args: [1, 2])
    found, code, out = doctor()
    assert code == 1
    assert ("migrations", "problem") in found
    assert not any(check == "connections" for check, _ in found)
