"""Agency settings → Messages: which there are, and which of them are sent."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from wagtail.admin.panels import Panel

from ..mail.kinds import ALWAYS_ON, TO_AGENCY
from ..models import EmailDelivery, MessageSettings
from .formats import client_language_choices, language
from .urls import admin_url

Kind = EmailDelivery.Kind

# In the order of a bill's life: when each is sent.
WHEN: dict[str, Promise] = {
    Kind.PAYMENT_LINK: _("When a billing request is sent, resent or renewed."),
    Kind.REMINDER: _("Before the link expires, and with Send reminder."),
    Kind.CHANGED: _("When you edit a bill and let the client know."),
    Kind.EXPIRED: _("When the link has expired unpaid."),
    Kind.PAYMENT_FAILED: _("When the client's bank has not carried out a payment."),
    Kind.RECEIPT: _("When the client has paid."),
    Kind.RENEWAL_RECEIPT: _("When a subscription was charged again."),
    Kind.RENEWAL_FAILED: _("When a charge of a subscription did not go through."),
    Kind.CANCELED: _("When a subscription has ended."),
    Kind.REFUNDED: _("When you have refunded money."),
    Kind.AGENCY_PAID: _("When a client has paid."),
    Kind.AGENCY_LATE: _("When a client has paid a bill that was expired or deleted."),
    Kind.AGENCY_REVIEW: _("When a payment is not what was asked for."),
    Kind.AGENCY_FAILED: _("When a client's bank has not carried out a payment."),
    Kind.AGENCY_RENEWAL: _("When a charge of a subscription did not go through."),
    Kind.AGENCY_CANCELED: _("When a subscription ends."),
    Kind.AGENCY_REFUND: _("When a refund has failed."),
    Kind.AGENCY_DISPUTE: _("When a client's bank disputes a payment."),
    Kind.AGENCY_MAIL: _("When your own mail server refuses e-mail."),
    Kind.AGENCY_CONNECTION: _("When Stripe refuses the key of your account."),
}
# Names that say in a list of their own whom they go to.
NAMES: dict[str, Promise] = {
    Kind.AGENCY_PAID: _("Paid"),
    Kind.AGENCY_LATE: _("Paid late"),
    Kind.AGENCY_REVIEW: _("Needs review"),
    Kind.AGENCY_FAILED: _("Payment failed"),
    Kind.AGENCY_RENEWAL: _("Renewal failed"),
    Kind.AGENCY_CANCELED: _("Subscription ends"),
    Kind.AGENCY_REFUND: _("Refund failed"),
    Kind.AGENCY_DISPUTE: _("Dispute"),
    Kind.AGENCY_MAIL: _("E-mail failing"),
    Kind.AGENCY_CONNECTION: _("Stripe account broken"),
}


@dataclass(frozen=True)
class Message:
    """One kind of message as the list shows it; ``switch_url`` is empty where it is always sent.

    ``changed`` names the languages in which the agency has words of its own.
    """

    name: str
    when: str
    on: bool
    changed: str
    switch_url: str
    edit_url: str
    preview_url: str


def message_name(kind: str) -> str:
    """What a message is called in the list and on its pages."""
    return str(NAMES.get(kind) or Kind(kind).label)


def language_names() -> dict[str, str]:
    """The languages that messages are written in, by their own names."""
    return dict(client_language_choices())


def first_language() -> str:
    """The one that its pages open with: the reader's, if messages are written in it."""
    names = language_names()
    return language() if language() in names else next(iter(names), "en")


def messages_by_reader() -> dict[str, list[Message]]:
    """All messages, those to clients and those to the agency apart."""
    chosen = {row.kind: row for row in MessageSettings.objects.all()}
    found: dict[str, list[Message]] = {"clients": [], "agency": []}
    for kind in WHEN:
        reader = "agency" if kind in TO_AGENCY else "clients"
        found[reader].append(_message(kind, chosen.get(kind)))
    return found


def _message(kind: str, row: MessageSettings | None) -> Message:
    on = row is None or row.enabled or kind in ALWAYS_ON
    names = language_names()
    texts = row.texts if row is not None else {}
    where = (kind, first_language())
    switch = "" if kind in ALWAYS_ON else admin_url("message_off" if on else "message_on", kind)
    return Message(
        name=message_name(kind),
        when=str(WHEN[kind]),
        on=on,
        changed=", ".join(names[code] for code in texts if code in names),
        switch_url=switch,
        edit_url=admin_url("message", *where),
        preview_url=admin_url("message_preview", *where),
    )


class MessagesPanel(Panel):
    """The list, with the way to each message."""

    class BoundPanel(Panel.BoundPanel):
        template_name = "wagtail_client_billing/admin/panels/messages.html"

        def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
            context = super().get_context_data(parent_context)
            return {**context, **messages_by_reader()}
