"""Every currency goes out to Stripe and comes back exactly, and so does what is given back."""

from decimal import Decimal

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bills.life import rolled_back
from tests.in_process import InProcessStripe
from wagtail_client_billing.gateway.checkout import open_checkout
from wagtail_client_billing.gateway.reconcile import reconcile
from wagtail_client_billing.gateway.refunds import refund_payment
from wagtail_client_billing.models import StripeConnection
from wagtail_client_billing.money import CURRENCIES, from_minor, to_minor
from wagtail_client_billing.sandbox import books

# What people get wrong by a factor of 100 or 1000, as typed and as Stripe counts it.
SPECIAL = [
    ("JPY", "500", 500),
    ("KRW", "1000", 1000),
    ("ISK", "500", 50000),
    ("UGX", "5000", 500000),
    ("KWD", "1.230", 1230),
    ("BHD", "10.500", 10500),
    ("HUF", "200.50", 20050),
    ("TWD", "100.25", 10025),
    ("EUR", "12.34", 1234),
]


@pytest.fixture
def in_process(monkeypatch, make_bill):
    monkeypatch.setattr(stripe, "RequestsClient", InProcessStripe)
    # The account of these tests charges whatever the table knows.
    StripeConnection.objects.update(currencies=[])
    return make_bill


def goes_and_comes(world, make_bill, code, amount):
    bill = make_bill(currency=code, amount_minor=to_minor(amount, code))
    open_checkout(bill.pk)
    world.pay(bill)
    reconcile(bill.pk, cause="sweep")
    payment = bill.payments.get()
    assert (payment.currency, from_minor(payment.amount_minor, code)) == (code, amount)
    assert not payment.mismatch
    refund = refund_payment(payment.pk, amount_minor=payment.amount_minor, user=None)
    assert (refund.state, from_minor(refund.amount_minor, code)) == ("succeeded", amount)
    (money,) = books.money(str(bill.uuid))
    assert money["paid"] == money["refunded"] == payment.amount_minor
    return payment


@pytest.mark.parametrize(("code", "typed", "minor"), SPECIAL)
def test_rule_1_the_special_ones(world, in_process, code, typed, minor):
    payment = goes_and_comes(world, in_process, code, Decimal(typed))
    assert payment.amount_minor == minor


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_rule_1_every_currency_goes_out_and_comes_back_exactly(world, in_process, code):
    currency = CURRENCIES[code]
    least = -(-max(currency.minimum_minor, 1000) // currency.multiple_of)

    @settings(
        max_examples=1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(least, least * 1000))
    def each(multiples):
        amount = from_minor(multiples * currency.multiple_of, code)
        with rolled_back():
            goes_and_comes(world, in_process, code, amount)

    each()
