"""What staff did to a Stripe connection, in Wagtail's own log; never a secret."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from wagtail.log_actions import log

from ..models import StripeConnection

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
    "forget": (_("Forget a Stripe account"), _("Forgot a Stripe account")),
}


def note(user: Any, connection: StripeConnection, action: str, **data: Any) -> None:
    """Logs an action on a connection. ``data`` holds plain facts, and no secret."""
    mode = "live" if connection.livemode else "test"
    facts = {"account": connection.account_id, "mode": mode, **data}
    log(instance=connection, action=f"{PREFIX}.{action}", user=user, data=facts)


def register(actions: Any) -> None:
    """Tells Wagtail the words for our actions."""
    for name, (label, message) in ACTIONS.items():
        actions.register_action(f"{PREFIX}.{name}", label, message)
