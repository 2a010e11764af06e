"""Why a refund failed or a payment is disputed, in words for the agency."""

from django.utils.translation import gettext as _


def refund_words(code: str) -> str:
    """What Stripe's ``failure_reason`` means; any other text as it is, since Stripe wrote it."""
    return {
        "charge_for_pending_refund_disputed": _("the client has disputed the payment meanwhile"),
        "declined": _("the client's bank has declined it"),
        "expired_or_canceled_card": _("the client's card has expired or was cancelled"),
        "insufficient_funds": _("your Stripe balance did not cover it"),
        "lost_or_stolen_card": _("the client's card was reported lost or stolen"),
        "merchant_request": _("it was cancelled at your request"),
        "unknown": "",
    }.get(code, code)


def dispute_words(code: str) -> str:
    """What the payer's bank says of a payment, after Stripe's ``reason`` of the dispute.

    A code that we do not know is shown as Stripe writes it, without its underscores.
    """
    return {
        "bank_cannot_process": _("the bank could not carry it out"),
        "check_returned": _("the check was returned"),
        "credit_not_processed": _("a refund was promised and did not come"),
        "customer_initiated": _("the client has asked for the money back"),
        "debit_not_authorized": _("the client had not agreed to the debit"),
        "duplicate": _("the client was charged twice"),
        "fraudulent": _("the client does not know of this payment"),
        "general": "",
        "incorrect_account_details": _("the details of the account are wrong"),
        "insufficient_funds": _("the account did not cover it"),
        "product_not_received": _("the client has not received what was paid for"),
        "product_unacceptable": _("what was delivered was not what was agreed"),
        "subscription_canceled": _("the subscription was charged after it had been cancelled"),
        "unrecognized": _("the client does not recognise this payment"),
    }.get(code, code.replace("_", " "))
