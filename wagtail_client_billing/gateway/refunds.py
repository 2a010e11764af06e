"""Giving money back through Stripe: a row with its key first, then the call."""

from datetime import timedelta
from enum import StrEnum
from typing import Any

from django.utils import timezone

from .. import lifecycle
from ..errors import AccountLost, NotConnected, StripeRefused, StripeUnavailable
from ..models import LogEntry, Payment, Refund, StripeConnection, SubscriptionChange
from ..sealing import SecretUnreadable
from ..transactions import outside_transaction
from .asker import Asker
from .charges import look_at_payment, refund_facts
from .client import Api, api_for
from .copies import refuse_copy
from .subscription_changes import finish_change

# Stripe keeps an idempotency key for at least a day; after that the list has to tell.
KEY_HOLDS = timedelta(hours=23)


class RefundOutcome(StrEnum):
    """What became of a refund."""

    DONE = "done"
    REFUSED = "refused"
    WAITING = "waiting"
    LOST = "lost"


def refund_payment(
    payment_pk: int,
    *,
    amount_minor: int,
    reason: str = "",
    once: str = "",
    seen_left: int | None = None,
    user: Any,
) -> Refund:
    """Gives money of a payment back; the refund's ``state`` and ``error`` say what became of it.

    ``amount_minor`` is in minor units of its currency. The same ``once`` gives back once;
    ``seen_left`` is what was left of it when somebody looked. Where Stripe cannot be reached the
    refund stays *waiting for Stripe* and the sweep goes on with it. A subscription that should not
    have begun is cancelled along with its first payment: a second one of the same request, or one
    of another amount. Raises ``NotAllowed``, ``ChangedMeanwhile``, ``AmountTooLarge``,
    ``NotConnected`` or ``CopyOfProduction``, before anything is asked for.
    """
    outside_transaction()
    payment = Payment.objects.get(pk=payment_pk)
    connection = StripeConnection.objects.of_account(payment.account_id, payment.livemode)
    refuse_copy(connection)
    if connection is None or not connection.usable:
        raise NotConnected()
    refund = lifecycle.begin_refund(
        payment_pk,
        amount_minor=amount_minor,
        reason=reason,
        once=once,
        seen_left=seen_left,
        user=user,
    )
    finish_refund(refund.pk, waiting=True, cause=LogEntry.Cause.EDITOR)
    if payment.subscription_id is not None:
        waits = SubscriptionChange.State.ASKING
        for change in SubscriptionChange.objects.filter(
            subscription=payment.subscription_id, state=waits
        ):
            finish_change(change.pk, waiting=True, cause=LogEntry.Cause.EDITOR)
    refund.refresh_from_db()
    return refund


def finish_refund(
    refund_pk: int, *, waiting: bool = False, cause: str = LogEntry.Cause.SWEEP
) -> RefundOutcome:
    """Asks Stripe for a refund that was written down. May run twice, at once or later."""
    outside_transaction()
    refund = Refund.objects.select_related("payment").get(pk=refund_pk)
    if refund.state != Refund.State.CREATING:
        return RefundOutcome.DONE
    payment = refund.payment
    asker = Asker(cause, refund.created_by)
    connection = StripeConnection.objects.of_account(payment.account_id, payment.livemode)
    lifecycle.refund_asked(refund)
    try:
        api = api_for(connection, waiting=waiting)
        if timezone.now() - refund.created_at > KEY_HOLDS:
            # The key may be forgotten: if it was made, the list has it.
            look_at_payment(api, payment, asker)
            refund.refresh_from_db()
            if refund.state != Refund.State.CREATING:
                return RefundOutcome.DONE
        try:
            told = _create(api, refund)
        except StripeRefused as error:
            if isinstance(error, AccountLost) or error.code == "idempotency_error":
                return RefundOutcome.LOST
            return _refused(api, refund, error, asker)
        # Before anything else is asked, which may be refused: Stripe's word that it was made.
        lifecycle.refunds_known(payment.pk, [refund_facts(told)], **asker.log)
    except StripeUnavailable:
        return RefundOutcome.WAITING
    except (StripeRefused, NotConnected, SecretUnreadable):
        return RefundOutcome.LOST
    return RefundOutcome.DONE


def _create(api: Api, refund: Refund) -> dict[str, Any]:
    params = {
        "payment_intent": refund.payment.intent_id,
        "amount": refund.amount_minor,
        "reason": "requested_by_customer",
        "metadata": {"wcb_refund": refund.idempotency_key or ""},
    }
    options = {"idempotency_key": refund.idempotency_key}
    return api.call(lambda client: client.v1.refunds.create(params, options))


def _refused(api: Api, refund: Refund, error: StripeRefused, asker: Asker) -> RefundOutcome:
    """Stripe will not make it; a list that cannot be read leaves open whether it was made before."""
    try:
        look_at_payment(api, refund.payment, asker)
    except StripeUnavailable:
        return RefundOutcome.WAITING
    except StripeRefused as unread:
        if not error.missing_right:
            return RefundOutcome.LOST if unread.missing_right else RefundOutcome.WAITING
    lifecycle.refund_refused(refund, str(error), cause=asker.cause)
    return RefundOutcome.REFUSED
