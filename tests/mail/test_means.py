"""How a means of payment is called."""

import pytest

from wagtail_client_billing.mail.means import paid_with
from wagtail_client_billing.models import Payment


@pytest.mark.parametrize(
    ("method", "last4", "words"),
    [
        ("visa", "4242", "card ending in 4242"),
        ("cartes_bancaires", "0007", "card ending in 0007"),
        ("card", "4242", "card ending in 4242"),
        ("sepa_debit", "3000", "bank account ending in 3000"),
        ("us_bank_account", "6789", "bank account ending in 6789"),
        ("paypal", "", "PayPal"),
        ("ideal", "", "iDEAL"),
        ("something_new", "", ""),
        ("", "", ""),
    ],
)
def test_means(method, last4, words):
    assert paid_with(Payment(method=method, last4=last4)) == words


def test_no_payment_has_no_means():
    assert paid_with(None) == ""
