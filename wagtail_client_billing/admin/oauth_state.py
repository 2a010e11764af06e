"""What ties an answer of Stripe's to the person who asked: in the session, for ten minutes, once."""

import secrets
from typing import Any

from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _

from ..errors import BillingError
from ..models import StripeConnection

KEY = "wagtail_client_billing.oauth"
TYPED = "wagtail_client_billing.typed"
LASTS = 600  # seconds


class StateRefused(BillingError):
    """The answer does not belong to what this person has begun here."""

    sentence = _(
        "This answer from Stripe was used before, or belongs to another browser. Nothing was "
        "connected; please connect again."
    )


def begin(request: Any, typed: dict[str, Any]) -> str:
    """A new state for this user and session; ``typed`` comes back with it."""
    state = secrets.token_urlsafe(32)
    request.session[KEY] = {
        "state": state,
        "user": str(request.user.pk),
        "at": timezone.now().timestamp(),
        "typed": typed,
    }
    # Shown again in the form if nothing comes of it.
    request.session[TYPED] = {**typed, "flow": StripeConnection.Flow.OAUTH.value}
    return state


def take(request: Any, state: str) -> dict[str, Any]:
    """What was typed, once; raises ``StateRefused``."""
    kept = request.session.get(KEY)
    if not kept or not constant_time_compare(kept["state"], state):
        raise StateRefused()
    del request.session[KEY]
    if kept["user"] != str(request.user.pk):
        raise StateRefused(_("Connecting was begun by somebody else. Please connect again."))
    if timezone.now().timestamp() - kept["at"] > LASTS:
        raise StateRefused(
            _("That took longer than ten minutes. Nothing was connected; please connect again.")
        )
    return dict(kept["typed"])


def typed_before(request: Any) -> dict[str, Any]:
    """What the form held when connecting came to nothing."""
    return dict(request.session.get(TYPED) or {})


def forget_typed(request: Any) -> None:
    """It came to something."""
    request.session.pop(TYPED, None)
