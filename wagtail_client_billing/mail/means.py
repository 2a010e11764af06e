"""Means of payment, in the words of those who pay with them."""

from django.utils.translation import gettext as _

from ..models import Payment

# Stripe's types of means that are a bank account, of which it tells the last digits.
ACCOUNTS = frozenset({"acss_debit", "au_becs_debit", "bacs_debit", "sepa_debit", "us_bank_account"})
# Names are the same in every language.
NAMES = {
    "affirm": "Affirm",
    "afterpay_clearpay": "Afterpay",
    "alipay": "Alipay",
    "amazon_pay": "Amazon Pay",
    "bancontact": "Bancontact",
    "blik": "BLIK",
    "cashapp": "Cash App",
    "eps": "EPS",
    "ideal": "iDEAL",
    "klarna": "Klarna",
    "link": "Link",
    "multibanco": "Multibanco",
    "p24": "Przelewy24",
    "paypal": "PayPal",
    "revolut_pay": "Revolut Pay",
    "twint": "TWINT",
    "wechat_pay": "WeChat Pay",
}


def paid_with(payment: Payment | None) -> str:
    """The means of payment as the payer knows it; empty where there is nothing to say."""
    if payment is None:
        return ""
    if not payment.last4:
        return NAMES.get(payment.method, "")
    if payment.method in ACCOUNTS:
        return _("bank account ending in %(digits)s") % {"digits": payment.last4}
    # Of cards the brand is stored.
    return _("card ending in %(digits)s") % {"digits": payment.last4}
