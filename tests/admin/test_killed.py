"""Connecting, rolling and unlinking in a process that is killed at every step.

A step is a call to Stripe or a commit. A clean run counts them; then, for each, a child process
does the same and dies right after it, as by a power cut. The page has to explain what is left, and
the next click, or the sweep, has to mend it.
"""

import os
import warnings
from contextlib import contextmanager
from datetime import timedelta
from unittest import mock

import pytest
import stripe
import time_machine
from django.contrib.auth import get_user_model
from django.db import connection as database
from django.db import connections
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ
from wagtail.models import ModelLogEntry, Site

from tests.bills.conftest import Making
from wagtail_client_billing import tasks
from wagtail_client_billing.gateway import client as gateway_client
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.models import (
    AgencySettings,
    BillingRequest,
    CheckoutAttempt,
    EmailDelivery,
    LogEntry,
    StripeConnection,
    StripeEvent,
    WebhookEndpoint,
)
from wagtail_client_billing.sandbox import books

KEY = "rk_test_killed_0123456789"
KILLED = 9
real_commits = pytest.mark.django_db(transaction=True, serialized_rollback=True)
SAYS = ("Webhook being made", "No event yet")
TABLES = [
    StripeEvent,
    LogEntry,
    EmailDelivery,
    CheckoutAttempt,
    BillingRequest,
    WebhookEndpoint,
    StripeConnection,
    ModelLogEntry,
    OrmQ,
]


@contextmanager
def steps(die_after=None):
    """The names of the steps made inside; the process dies right after that many."""
    made = []

    def made_one(name):
        made.append(name)
        if len(made) == die_after:
            os._exit(KILLED)

    ask, commit = stripe.RequestsClient.request, type(connections["default"]).commit

    def asked(self, method, url, *args, **kwargs):
        answer = ask(self, method, url, *args, **kwargs)
        made_one(f"{method} {url.partition('/v1/')[2]}")
        return answer

    def committed(self):
        commit(self)
        made_one("commit")

    def executed(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        # Whether a wake-up is queued depends on the clock; it carries nothing.
        writes = sql.startswith(("INSERT", "UPDATE", "DELETE")) and "django_q" not in sql
        if writes and not context["connection"].in_atomic_block:
            made_one(f"commit of {sql[:50]}")
        return result

    with (
        mock.patch.object(stripe.RequestsClient, "request", asked),
        mock.patch.object(type(connections["default"]), "commit", committed),
        database.execute_wrapper(executed),
    ):
        yield made


def dies(run, after):
    """Has a child process do it and die after that many steps."""
    connections.close_all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            with steps(die_after=after):
                run()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


class Story:
    """An agency's member of staff with the buttons of the tab."""

    def __init__(self, user, admin_url):
        self.admin_url = admin_url
        self.client = Client()
        self.client.force_login(user)

    def connect(self):
        typed = {
            "test_mode": "on",
            "country": "DE",
            "privacy_policy_url": "https://agency.example/privacy",
            "terms_url": "https://agency.example/terms",
            "key": KEY,
        }
        assert self.client.post(self.admin_url("connect"), typed).status_code == 302

    def press(self, name, **data):
        url = self.admin_url(name, StripeConnection.objects.get().pk)
        assert self.client.post(url, data).status_code == 302

    def unlink(self):
        self.press("unlink")

    def roll(self):
        self.press("webhook", roll="1")

    def tab(self):
        url = f"/admin/settings/wagtail_client_billing/agencysettings/{AgencySettings.load().pk}/"
        return self.client.get(url).content.decode()

    def connected_with_a_session(self):
        self.connect()
        (connection,) = StripeConnection.objects.all()
        bill = Making(Site.objects.first(), connection)()
        open_checkout(bill.pk)
        assert len(books.payable_sessions()) == 1


@pytest.fixture
def story(world, admin_url, monkeypatch):
    monkeypatch.setattr(gateway_client, "RETRIES_WAITING", 0)
    user = get_user_model().objects.create_superuser("killed", "killed@agency.example", "pw")
    return Story(user, admin_url)


def forget():
    books.reset()
    for table in TABLES:
        table.objects.all().delete()


def count(run):
    with steps() as made:
        run()
    assert len(made) > 2
    return range(1, len(made) + 1)


def sweep_after(**later):
    with time_machine.travel(timezone.now() + timedelta(**later)):
        tasks.sweep()


@pytest.mark.django_db
def test_what_is_not_committed_is_no_step():
    with steps() as made:
        StripeConnection.objects.update(account_name="nobody")
    assert made == []


@real_commits
def test_a_connecting_that_is_killed_at_any_step_is_mended_by_the_next_click(story):
    # What a database sees for the first time is no step of connecting.
    story.connect()
    forget()
    for after in count(story.connect):
        forget()
        dies(story.connect, after)
        tab = story.tab()
        linked = StripeConnection.objects.first()
        if linked is None:
            assert "$ Create Client Billing Account" in tab
            assert books.endpoints() == []
            if after > 1:
                continue  # nothing is stored, as at the first step
            story.connect()
        elif after % 2:
            assert any(say in tab for say in SAYS)
            story.press("check_account")
        else:
            assert any(say in tab for say in SAYS)
            sweep_after(minutes=3)
        (endpoint,) = WebhookEndpoint.objects.all()
        assert [at["id"] for at in books.endpoints()] == [endpoint.stripe_id], after
        assert (endpoint.state, len(endpoint.sealed_secrets)) == ("active", 1)
        assert StripeConnection.objects.get().usable


@real_commits
def test_an_unlinking_that_is_killed_at_any_step_is_finished_by_the_next_click(story):
    story.connected_with_a_session()
    for after in count(story.unlink):
        forget()
        story.connected_with_a_session()
        dies(story.unlink, after)
        tab = story.tab()
        linked = StripeConnection.objects.get()
        if linked.unlinked_at is None:
            assert "Unlink account" in tab
            story.unlink()
        elif linked.let_go_at is None:
            assert "is being unlinked" in tab
            if after % 2:
                story.unlink()
            else:
                sweep_after(minutes=3)
        else:
            assert "was unlinked" in tab
        linked.refresh_from_db()
        assert linked.unlinked_at and linked.let_go_at and not linked.sealed_key, after
        assert books.endpoints() == books.payable_sessions() == []
        assert set(WebhookEndpoint.objects.values_list("state", flat=True)) == {"deleted"}


@real_commits
def test_a_roll_that_is_killed_at_any_step_ends_with_one_endpoint(story):
    story.connect()
    for after in count(story.roll):
        forget()
        story.connect()
        dies(story.roll, after)
        assert "Roll webhook secret" in story.tab()
        sweep_after(minutes=3)
        endpoint = WebhookEndpoint.objects.get(state="active")
        assert endpoint.sealed_secrets
        sweep_after(hours=25)
        assert [at["id"] for at in books.endpoints()] == [endpoint.stripe_id], after
