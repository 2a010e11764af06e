"""Two members of staff press Connect at the same moment: through the URL, on PostgreSQL."""

import threading

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from django_q.models import OrmQ
from wagtail.models import ModelLogEntry

from wagtail_client_billing.models import StripeConnection, WebhookEndpoint
from wagtail_client_billing.sandbox import books, faults

pytestmark = pytest.mark.postgres

KEY = "rk_test_atonce_0123456789"
OTHER_KEY = "rk_test_otheratonce_0123456789"
HELD_MS = 200


@pytest.mark.django_db
def test_the_database_of_these_tests_locks_rows():
    """Marked, so that the database is made also when this module runs alone."""
    assert connections["default"].features.has_select_for_update


@pytest.fixture
def staff(django_db_setup, django_db_blocker, world):
    """Two people, logged in; what they write is taken out again."""
    people = get_user_model().objects
    with django_db_blocker.unblock():
        users = [
            people.create_superuser(name, f"{name}@agency.example", "pw") for name in ("ada", "bob")
        ]
        clients = [Client() for _ in users]
        for client, user in zip(clients, users, strict=True):
            client.force_login(user)
        yield clients
        for table in (WebhookEndpoint, StripeConnection, ModelLogEntry, OrmQ):
            table.objects.all().delete()
        for user in users:
            user.delete()


def press_connect_at_once(clients, keys, url):
    start = threading.Barrier(len(clients))
    answers, errors = [], []

    def press(client, key):
        typed = {
            "test_mode": "on",
            "country": "DE",
            "privacy_policy_url": "https://agency.example/privacy",
            "terms_url": "https://agency.example/terms",
            "key": key,
        }
        try:
            start.wait()
            answers.append(client.post(url, typed))
        except Exception as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=press, args=pair) for pair in zip(clients, keys, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return answers


@pytest.mark.parametrize("_round", range(3))
def test_the_same_account_at_once_is_one_connection_with_one_endpoint(staff, admin_url, _round):
    # Stripe is in the middle of making the endpoint when the second asks for it.
    faults.add("hold", path="/v1/webhook_endpoints", method="POST", delay_ms=HELD_MS)
    answers = press_connect_at_once(staff, [KEY, KEY], admin_url("connect"))
    assert [answer.status_code for answer in answers] == [302, 302]
    connection = StripeConnection.objects.get()
    endpoint = connection.endpoints.get()
    (made,) = books.endpoints()
    assert (endpoint.state, endpoint.stripe_id) == ("active", made["id"])
    assert connection.usable


def test_two_accounts_at_once_connect_one_and_the_other_is_told(staff, admin_url):
    answers = press_connect_at_once(staff, [KEY, OTHER_KEY], admin_url("connect"))
    assert sorted(answer.status_code for answer in answers) == [200, 302]
    (refused,) = (answer for answer in answers if answer.status_code == 200)
    assert "Unlink it first" in str(refused.context["form"].errors["test_mode"])
    connection = StripeConnection.objects.get()
    assert [made["account"] for made in books.endpoints()] == [connection.account_id]
