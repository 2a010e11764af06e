"""Making and ending an attempt's session at Stripe."""

from typing import Any

from .. import lifecycle
from ..errors import AccountLost, StripeRefused, StripeUnavailable
from ..models import CheckoutAttempt
from . import sessions
from .client import Api

State = CheckoutAttempt.State


def create_session(api: Api, attempt: CheckoutAttempt) -> dict[str, Any]:
    """Has Stripe make the session, or say which one it made before, and notes its id.

    An attempt that Stripe refuses has failed: nothing was ever payable. ``attempt`` is read again.
    Raises what ``Api.call`` raises.
    """
    try:
        session = sessions.create(api, attempt)
    except StripeRefused as error:
        if _nothing_was_made(error):
            lifecycle.attempt_over(attempt, State.FAILED, error=str(error))
        raise
    lifecycle.attempt_opened(attempt, session_id=session["id"], url=session.get("url") or "")
    return session


def close_attempt(api: Api, attempt: CheckoutAttempt) -> bool:
    """Ends a live attempt at Stripe. False when its session is complete: then it was paid.

    Raises ``StripeUnavailable`` when the end is not certain.
    """
    if attempt.session_id is None:
        try:
            create_session(api, attempt)
        except StripeRefused as error:
            if _nothing_was_made(error):
                return attempt.state not in CheckoutAttempt.LIVE
            raise
    session_id = attempt.session_id or ""
    try:
        session = sessions.expire(api, session_id)
    except StripeRefused as error:
        if isinstance(error, AccountLost) or error.missing_right:
            raise
        # Not open any more; the wording of that refusal changes, so ask what it is instead.
        session = sessions.retrieve(api, session_id)
    if session["status"] == "complete":
        return False
    if session["status"] != "expired":
        raise StripeUnavailable()
    lifecycle.attempt_over(attempt, State.EXPIRED)
    return True


def _nothing_was_made(error: StripeRefused) -> bool:
    # With the key or the account gone, or the key used for other parameters, a session may exist.
    return not isinstance(error, AccountLost) and error.code != "idempotency_error"
