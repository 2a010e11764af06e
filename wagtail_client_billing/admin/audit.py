"""What Wagtail's own log says of us: what staff did to a Stripe connection, and what became of
billing requests. Never a secret, and no address.
"""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from wagtail.log_actions import log

from ..lifecycle.record import history_action
from ..models import AgencySettings, LogEntry, StripeConnection

Action = LogEntry.Action
PREFIX = "client_billing"
# What is logged, and the words for it in Wagtail's history.
ACTIONS: dict[str, tuple[Promise, Promise]] = {
    "connect": (_("Connect a Stripe account"), _("Connected a Stripe account")),
    "begin": (_("Begin a Stripe account"), _("Began to set up a Stripe account")),
    "unlink": (_("Unlink a Stripe account"), _("Unlinked a Stripe account")),
    "replace_key": (_("Replace a Stripe key"), _("Replaced a Stripe key")),
    "change_terms": (_("Change the legal pages"), _("Changed the legal pages")),
    "roll_secret": (_("Replace a webhook secret"), _("Replaced a webhook secret")),
    "confirm_host": (_("Confirm the installation"), _("Said that this is the real installation")),
    "message_words": (_("Change a message"), _("Changed the words of a message")),
    "message_on": (_("Switch a message on"), _("Switched a message on")),
    "message_off": (_("Switch a message off"), _("Switched a message off")),
    "forget": (_("Forget a Stripe account"), _("Forgot a Stripe account")),
    "mail_server": (_("Change the mail server"), _("Changed the mail server")),
}


def note(user: Any, connection: StripeConnection, action: str, **data: Any) -> None:
    """Logs an action on a connection. ``data`` holds plain facts, and no secret."""
    mode = "live" if connection.livemode else "test"
    facts = {"account": connection.account_id, "mode": mode, **data}
    log(instance=connection, action=f"{PREFIX}.{action}", user=user, data=facts)


def note_mail_server(user: Any, settings: AgencySettings, changed: list[str]) -> None:
    """Logs which of the mail server's settings were changed, and to what of none of them."""
    log(
        instance=settings,
        action=f"{PREFIX}.mail_server",
        user=user,
        data={"changed": changed},
    )


# What happened to a request, from its own log.
OF_A_REQUEST: dict[str, tuple[Promise, Promise]] = {
    Action.CREATED: (_("Send a billing request"), _("Sent a billing request")),
    Action.RESENT: (_("Resend an e-mail"), _("Sent the e-mail again")),
    Action.REMINDER_ASKED: (_("Send a reminder"), _("Sent a reminder")),
    Action.EDITED: (_("Edit a billing request"), _("Edited a billing request")),
    Action.MARKED_PAID: (_("Mark as paid"), _("Marked as paid outside Stripe")),
    Action.PAID: (_("Payment of a billing request"), _("The billing request is paid")),
    Action.EXPIRED: (_("Expiry of a billing request"), _("The billing request has expired")),
    Action.RENEWED: (_("Renew a billing request"), _("Renewed a billing request")),
    Action.TAKEN_BACK: (_("Take a payment back"), _("Took back a payment marked by hand")),
    Action.DELETED: (_("Delete a billing request"), _("Deleted a billing request")),
    Action.REVIEW: (_("Review of a billing request"), _("The billing request needs a review")),
    Action.REVIEWED: (_("End of a review"), _("The review of the billing request is over")),
    Action.REFUND_ASKED: (_("Refund a payment"), _("Started a refund")),
    Action.REFUNDED: (_("Refund of a payment"), _("Money of the billing request was refunded")),
    Action.REFUND_FAILED: (_("Failed refund"), _("A refund of the billing request failed")),
    Action.DISPUTED: (_("Dispute of a payment"), _("A payment of the billing request is disputed")),
    Action.DISPUTE_CLOSED: (
        _("End of a dispute"),
        _("A dispute about the billing request was closed"),
    ),
    Action.SUBSCRIBED: (_("Start of a subscription"), _("The subscription started")),
    Action.RENEWAL_FAILED: (_("Failed renewal"), _("A renewal of the subscription failed")),
    Action.CANCEL_PLANNED: (_("Planned cancellation"), _("The subscription will end")),
    Action.CANCEL_DROPPED: (_("Withdrawn cancellation"), _("The subscription goes on after all")),
    Action.CANCELED: (_("Cancellation of a subscription"), _("The subscription was cancelled")),
}


def register(actions: Any) -> None:
    """Tells Wagtail the words for our actions."""
    for name, (label, message) in ACTIONS.items():
        actions.register_action(f"{PREFIX}.{name}", label, message)
    for action, (label, message) in OF_A_REQUEST.items():
        actions.register_action(history_action(action), label, message)
