"""What an account can charge is asked of Stripe, and not knowing it stops nobody."""

import pytest
from django.core.cache import cache

from tests.fixtures import make_connection
from wagtail_client_billing.errors import StripeRefused, StripeUnavailable
from wagtail_client_billing.gateway import connect, currencies
from wagtail_client_billing.gateway.checkup import check_up
from wagtail_client_billing.gateway.client import Api
from wagtail_client_billing.models import StripeConnection
from wagtail_client_billing.money import CURRENCIES
from wagtail_client_billing.sandbox import books, keys

KEY = "rk_test_currencies_0123456789"


@pytest.fixture(autouse=True)
def nothing_remembered():
    cache.clear()


def connect_account(country="DE"):
    caller = keys.identify(KEY)
    keys.change_account(
        caller.account,
        name="Atelier",
        country=country,
        default_currency="eur",
        charges_enabled=True,
        details_submitted=True,
    )
    return connect.connect_with_key(
        key=KEY,
        livemode=False,
        country=country,
        privacy_policy_url="https://atelier.test/privacy",
        terms_url="https://atelier.test/terms",
        user=None,
    )


def asked():
    return [call["path"] for call in books.api_calls() if "country_specs" in call["path"]]


def known():
    return StripeConnection.objects.get().currencies


def test_connecting_notes_what_the_account_can_charge(world, db):
    connection = connect_account()
    assert connection.currencies == known()
    assert {"EUR", "JPY", "KWD"} <= set(known()) <= CURRENCIES.keys()
    assert "BGN" not in known(), "what we do not bill in is left out"
    assert asked() == ["/v1/country_specs/DE"]


def test_an_account_of_another_country_charges_other_currencies(world, db):
    connect_account("BR")
    assert known() == ["BRL"]


@pytest.mark.parametrize("refusal", [StripeRefused(missing_right="rak_x"), StripeUnavailable()])
def test_not_knowing_never_fails_connecting_and_keeps_what_was_known(
    refusal, world, db, monkeypatch
):
    plain = Api.call

    def call(self, ask):
        if ask.__module__ == currencies.__name__:
            raise refusal
        return plain(self, ask)

    monkeypatch.setattr(Api, "call", call)
    connection = connect_account()
    assert connection.usable and known() == []
    StripeConnection.objects.update(currencies=["EUR"])
    check_up(connection)
    connect.replace_key(connection, key=KEY)
    assert known() == ["EUR"]


@pytest.mark.parametrize("answer", [{}, {"supported_payment_currencies": ["xyz", None, 5]}])
def test_an_answer_without_a_currency_of_ours_changes_nothing(answer, world, db, monkeypatch):
    connection = make_connection(livemode=False, currencies=["EUR"])
    monkeypatch.setattr(Api, "call", lambda self, ask: answer)
    currencies.note_currencies(connection, at_once=True)
    assert known() == ["EUR"]


def test_tasks_ask_once_a_day_and_check_again_asks_at_once(world, db):
    connection = connect_account()
    for _turn in range(3):
        connect.check(connection, waiting=False)
    assert len(asked()) == 1
    StripeConnection.objects.update(currencies=[])
    check_up(connection)
    assert len(asked()) == 2
    assert "EUR" in known()
    cache.clear()
    connect.check(connection, waiting=False)
    assert len(asked()) == 3


def test_without_a_country_nobody_is_asked(world, db):
    currencies.note_currencies(make_connection(livemode=False, country=""), at_once=True)
    assert asked() == []
