"""What a restricted key must be allowed to do, and the boxes of Stripe's page that allow it."""

from collections.abc import Callable, Iterable
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

# Slug of a permission as Stripe's messages and its page name it, and the words of its box.
WORDS: dict[str, Promise] = {
    "rak_checkout_session_write": gettext_lazy("Checkout Sessions: write"),
    # Write includes read: the same box has to be ticked.
    "rak_checkout_session_read": gettext_lazy("Checkout Sessions: write"),
    "rak_payment_intent_read": gettext_lazy("PaymentIntents: read"),
    "rak_charge_read": gettext_lazy("Charges and Refunds: read"),
    "rak_connected_account_read": gettext_lazy("Connected accounts (Accounts): read"),
    "rak_webhook_write": gettext_lazy("Webhook Endpoints: write"),
    "rak_webhook_read": gettext_lazy("Webhook Endpoints: write"),
    "rak_event_read": gettext_lazy("Events: read"),
    "rak_refund_write": gettext_lazy("Charges and Refunds: write"),
    "rak_refund_read": gettext_lazy("Charges and Refunds: write"),
    "rak_charge_write": gettext_lazy("Charges and Refunds: write"),
    "rak_dispute_read": gettext_lazy("Disputes: read"),
    "rak_subscription_write": gettext_lazy("Subscriptions: write"),
    "rak_subscription_read": gettext_lazy("Subscriptions: write"),
    "rak_invoice_read": gettext_lazy("Invoices: read"),
    "rak_customer_portal_write": gettext_lazy("Customer portal: write"),
    "rak_customer_portal_read": gettext_lazy("Customer portal: write"),
}
# The boxes that Stripe's page is asked to tick.
TICKED = tuple(
    slug
    for slug, box in WORDS.items()
    # Reading comes with writing, and refunds with charges.
    if slug.replace("_read", "_write") == slug or slug.replace("_read", "_write") not in WORDS
)
# Without these no bill can be charged, or nobody would know whether it was paid.
NEEDED = frozenset(
    {
        "rak_connected_account_read",
        "rak_checkout_session_write",
        "rak_checkout_session_read",
        "rak_payment_intent_read",
    }
)

# Without these nobody would know whether a recurring bill was paid, nor could end it.
NEEDED_FOR_RECURRING = frozenset(
    {
        "rak_subscription_write",
        "rak_subscription_read",
        "rak_invoice_read",
        "rak_payment_intent_read",
    }
)

# Stripe checks rights before existence: asking for something that cannot exist tells a missing
# right (403) from a missing object (404), and changes nothing.
PROBES: tuple[Callable[[Any], Any], ...] = (
    lambda client: client.v1.checkout.sessions.retrieve("cs_wcb_probe"),
    lambda client: client.v1.checkout.sessions.expire("cs_wcb_probe"),
    lambda client: client.v1.payment_intents.retrieve("pi_wcb_probe"),
    lambda client: client.v1.charges.retrieve("ch_wcb_probe"),
    lambda client: client.v1.events.retrieve("evt_wcb_probe"),
    lambda client: client.v1.webhook_endpoints.delete("we_wcb_probe"),
    lambda client: client.v1.refunds.update("re_wcb_probe", {"metadata": {"wcb": "probe"}}),
    lambda client: client.v1.disputes.retrieve("dp_wcb_probe"),
    lambda client: client.v1.subscriptions.cancel("sub_wcb_probe"),
    lambda client: client.v1.invoices.retrieve("in_wcb_probe"),
    lambda client: client.v1.billing_portal.configurations.update(
        "bpc_wcb_probe", {"metadata": {"wcb": "probe"}}
    ),
)


def box(right: str) -> str:
    """The words of the box that gives a permission; the slug itself where we have none."""
    return str(WORDS.get(right) or right.removeprefix("rak_"))


def boxes(rights: list[str]) -> list[str]:
    """The boxes that give these permissions, each once."""
    return list(dict.fromkeys(box(right) for right in rights))


def sentence(right: str) -> str:
    """That a permission is missing, and which box gives it."""
    return _("The key lacks a permission. Tick this box on Stripe’s page: %(box)s.") % {
        "box": box(right)
    }


def why_not_recurring(missing: Iterable[str]) -> str:
    """Why recurring bills cannot be sent with a key that lacks these permissions; empty if they can."""
    lacking = [right for right in missing if right in NEEDED_FOR_RECURRING]
    if not lacking:
        return ""
    text = _(
        "Only one-time bills can be sent: the key lacks a permission that recurring ones need."
        " Tick on Stripe’s page: %(boxes)s. Then check again in the agency settings."
    )
    return text % {"boxes": "; ".join(boxes(lacking))}
