"""Makes our books say what Stripe's say. The one function that everybody calls.

Webhook, return page, *Check with Stripe* and sweep differ only in the cause that the log names,
so that they may come in any order and any number.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from .. import lifecycle
from ..errors import (
    AccountLost,
    CopyOfProduction,
    NoSuchObject,
    NotConnected,
    StripeRefused,
    StripeUnavailable,
)
from ..models import (
    BillingRequest,
    CheckoutAttempt,
    Dispute,
    Payment,
    Refund,
    StripeConnection,
    Subscription,
)
from ..sealing import SecretUnreadable
from ..transactions import outside_transaction
from . import sessions
from .asker import Asker
from .attempts import close_attempt, create_session
from .charges import id_of, look_at_payment, was_touched
from .client import Api, api_for
from .subscription_changes import cancel_unpaid
from .subscriptions import first_intent_status, is_known, look_at_subscription

State = CheckoutAttempt.State
Status = BillingRequest.Status

# A session cannot outlive its own end: that long after it, silence is an answer.
SILENCE_IS_AN_ANSWER = timedelta(minutes=5)
# Of a long subscription: older ones are asked about when Stripe tells of them.
NEWEST_PAYMENTS = 24


@dataclass
class Reconciled:
    """What came of it.

    Whether anything changed here, how many sessions Stripe told us about, whether it could not be
    reached (asking again may help), whether its account is lost to us (it cannot) and why, and
    whether something was left to the installation of which this is a copy.
    """

    changed: bool = False
    asked: int = 0
    unreachable: bool = False
    lost: bool = False
    why: str = ""
    copy: bool = False


def reconcile(
    request_pk: int,
    *,
    cause: str,
    session_id: str | None = None,
    subscription_ids: Collection[str] | None = (),
    payments: Collection[int] | None = (),
    user: Any = None,
    waiting: bool = False,
    evidence: dict[str, Any] | None = None,
) -> Reconciled:
    """Asks Stripe about a request's sessions and subscriptions, and writes down what is true.

    ``session_id`` and ``subscription_ids`` are hints at what to ask about even if it counts as
    over; None is every subscription. ``payments`` are those of whose refunds and disputes Stripe is
    asked, by primary key; None is the newest. ``waiting`` says that a person waits. Never raises
    for what Stripe does; the result tells.
    """
    outside_transaction()
    request = BillingRequest.objects.get(pk=request_pk)
    asker = Asker(cause, user, evidence)
    before, began = _picture(request), timezone.now()
    result = Reconciled()
    connection = StripeConnection.objects.of_account(request.account_id, request.livemode)
    for attempt in _worth_asking(request, session_id):
        _ask(attempt, connection, asker, waiting, result)
    for subscription in _subscriptions_worth_asking(request, subscription_ids):
        with _noting(result, connection):
            _look_again(api_for(connection, waiting=waiting), subscription, asker, began)
    for payment in _to_look_at(request, payments):
        with _noting(result, connection):
            _look_at_payment(api_for(connection, waiting=waiting), payment, asker)
            result.asked += 1
    request.refresh_from_db()
    if request.status != Status.PENDING:
        # Two sessions of one request are never payable at once: whatever ended it ends them all.
        for attempt in request.attempts.filter(state__in=[State.CREATING, State.OPEN]):
            _ask(attempt, connection, asker, waiting, result, close=True)
    elif request.is_over:
        lifecycle.move(
            BillingRequest.objects.filter(pk=request_pk),
            Status.EXPIRED,
            cause=cause,
            user=user,
            evidence=evidence,
        )
    result.changed = _picture(request) != before
    return result


@contextmanager
def _noting(result: Reconciled, connection: StripeConnection | None) -> Iterator[None]:
    """Notes in the result why Stripe gave no answer."""
    try:
        yield
    except StripeUnavailable:
        result.unreachable = True
    except CopyOfProduction:
        result.copy = True
    except NoSuchObject:
        # An answer as well.
        result.asked += 1
    except (StripeRefused, NotConnected, SecretUnreadable) as error:
        result.lost, result.why = True, str(error)
        _note_missing(connection, error)


def _note_missing(connection: StripeConnection | None, error: Exception) -> None:
    right = getattr(error, "missing_right", "")
    if connection is not None and right and right not in connection.missing_rights:
        # Until the account is checked with a better key.
        connection.missing_rights = sorted({*connection.missing_rights, right})
        connection.save(update_fields=["missing_rights"])


def _look_again(api: Api, subscription: Subscription, asker: Asker, began: datetime) -> None:
    attempt = CheckoutAttempt.objects.filter(
        account_id=subscription.account_id, subscription_id=subscription.stripe_id
    ).first()
    # One that has just come into being was read with its session.
    if attempt is None or subscription.created_at >= began:
        return
    lifecycle.subscription_asked(subscription)
    try:
        look_at_subscription(api, attempt, subscription.stripe_id, asker)
    except NoSuchObject as error:
        # Something that it names may be what is not known.
        if is_known(api, subscription.stripe_id):
            raise
        lifecycle.subscription_forgotten(subscription, str(error), **asker.log)


def _look_at_payment(api: Api, payment: Payment, asker: Asker) -> None:
    try:
        look_at_payment(api, payment, asker)
    except NoSuchObject as error:
        lifecycle.payment_forgotten(payment, str(error), **asker.log)


def _to_look_at(request: BillingRequest, wanted: Collection[int] | None) -> list[Payment]:
    paid = request.payments.from_stripe()
    if wanted is not None:
        return list(paid.filter(pk__in=wanted)) if wanted else []
    return list(paid[:NEWEST_PAYMENTS])


def _worth_asking(request: BillingRequest, session_id: str | None) -> list[CheckoutAttempt]:
    unsettled = Q(state__in=CheckoutAttempt.LIVE) | Q(not_confirmed=True)
    if session_id:
        unsettled |= Q(session_id=session_id)
    return list(request.attempts.filter(unsettled).order_by("n"))


def _subscriptions_worth_asking(
    request: BillingRequest, hinted: Collection[str] | None
) -> list[Subscription]:
    """Those that go on, and of the others those that somebody has paid, or may have paid, since.

    An invoice outlives its subscription: what is owed can be paid afterwards.
    """
    found = request.subscriptions.all()
    if hinted is not None:
        going_on = ~Q(status__in=Subscription.ENDED)
        due = Q(ask_at__lte=timezone.now())
        found = found.filter(going_on | due | Q(stripe_id__in=hinted))
    return list(found)


def _ask(
    attempt: CheckoutAttempt,
    connection: StripeConnection | None,
    asker: Asker,
    waiting: bool,
    result: Reconciled,
    *,
    close: bool = False,
) -> None:
    lifecycle.attempt_asked(attempt)
    try:
        api = api_for(connection, waiting=waiting)
        if not close or not close_attempt(api, attempt):
            _settle(api, attempt, asker)
        result.asked += 1
    except StripeUnavailable:
        result.unreachable = True
    except CopyOfProduction:
        result.copy = True
    except NoSuchObject as error:
        result.asked += 1
        attempt.refresh_from_db()
        if attempt.state == State.PROCESSING:
            # Nothing will ever be heard of that money: a person has to look.
            found = {"error": str(error), **(asker.evidence or {})}
            lifecycle.flag_review(attempt, "no_payment", found, **_who(asker))
        else:
            give_up_when_over(attempt)
    except (AccountLost, NotConnected, SecretUnreadable) as error:
        result.lost, result.why = True, str(error)
        give_up_when_over(attempt)
    except StripeRefused as error:
        # A create that was refused has failed by that; a missing right keeps us from knowing.
        if error.missing_right or error.code == "idempotency_error":
            result.lost, result.why = True, str(error)
            _note_missing(connection, error)
            give_up_when_over(attempt)


def give_up_when_over(attempt: CheckoutAttempt) -> bool:
    """Ends an attempt that Stripe can never be asked about, once its session must be over.

    The fact *not confirmed by Stripe* goes with it. Returns whether the attempt is over. One that
    a bank is working on never is: its money may come weeks after the session's end.
    """
    if timezone.now() < attempt.expires_at + SILENCE_IS_AN_ANSWER:
        return False
    lifecycle.attempt_over(attempt, State.EXPIRED, not_confirmed=True)
    return attempt.state not in CheckoutAttempt.LIVE


def _settle(api: Api, attempt: CheckoutAttempt, asker: Asker) -> None:
    if attempt.session_id is None:
        create_session(api, attempt)
        request = BillingRequest.objects.get(pk=attempt.request_id)
        # Nobody was ever given this session's address, so closing it takes nothing away.
        if request.is_over and close_attempt(api, attempt):
            return
    session = sessions.retrieve(api, attempt.session_id or "")
    try:
        _write_down(api, attempt, session, asker)
    except StripeRefused as error:
        unreadable = error.missing_right or isinstance(error, NoSuchObject)
        if unreadable and session["status"] == "complete":
            # Somebody has paid, or will have: what we may not read is no reason to forget it.
            _keep(api, attempt, "", asker)
        raise


def _write_down(api: Api, attempt: CheckoutAttempt, session: dict[str, Any], asker: Asker) -> None:
    recurring = session.get("mode") == "subscription"
    match session["status"], session["payment_status"]:
        case "expired", _:
            lifecycle.attempt_over(attempt, State.EXPIRED)
        case "complete", "paid" if recurring:
            look_at_subscription(api, attempt, id_of(session["subscription"]), asker)
        case "complete", "paid":
            _paid(api, attempt, session, asker)
        case "complete", "unpaid":
            _under_way(api, attempt, session, asker)
        case "complete", other:
            lifecycle.flag_review(attempt, "no_payment", {"payment_status": other}, **_who(asker))
        case _:
            lifecycle.attempt_checked(attempt)


def _paid(api: Api, attempt: CheckoutAttempt, session: dict[str, Any], asker: Asker) -> None:
    facts = sessions.payment_facts(attempt, session)
    differs = sessions.mismatch(attempt, session)
    if differs:
        found = {"differs": differs, **(asker.evidence or {})}
        lifecycle.flag_review(attempt, "mismatch", found, facts=facts, **_who(asker))
    else:
        lifecycle.record_payment(attempt, facts, **asker.log)
    if facts.intent_id and was_touched(session.get("payment_intent")):
        stored = Payment.objects.filter(account_id=attempt.account_id, source=facts.source)
        for payment in stored:
            look_at_payment(api, payment, asker)


def _under_way(api: Api, attempt: CheckoutAttempt, session: dict[str, Any], asker: Asker) -> None:
    recurring = session.get("mode") == "subscription"
    status = first_intent_status(api, session) if recurring else sessions.intent_status(session)
    if status in ("requires_payment_method", "canceled"):
        if recurring:
            cancel_unpaid(api, attempt, id_of(session["subscription"]), asker)
        lifecycle.payment_failed(attempt, **asker.log)
        return
    if not _keep(api, attempt, sessions.intent_id(session), asker):
        lifecycle.attempt_checked(attempt)


def _keep(api: Api, attempt: CheckoutAttempt, intent_id: str, asker: Asker) -> bool:
    """Keeps an attempt until its money is heard of; whether that was news."""
    if attempt.not_confirmed:
        # Two of one request are never payable at once, and this one is being paid.
        for other in attempt.request.attempts.filter(state__in=[State.CREATING, State.OPEN]):
            close_attempt(api, other)
    return lifecycle.mark_processing(attempt, payment_intent_id=intent_id, **asker.log)


def _who(asker: Asker) -> dict[str, Any]:
    return {"cause": asker.cause, "user": asker.user}


def _picture(request: BillingRequest) -> tuple[Any, ...]:
    request.refresh_from_db()
    return (
        request.status,
        request.processing_since,
        request.review_since,
        request.hold,
        tuple(request.attempts.order_by("n").values_list("state", flat=True)),
        request.payments.count(),
        tuple(Refund.objects.filter(payment__request=request).values_list("state", flat=True)),
        tuple(Dispute.objects.filter(payment__request=request).values_list("state", flat=True)),
        tuple(
            request.subscriptions.values_list(
                "status", "cancel_at_period_end", "cancel_at", "current_period_end"
            )
        ),
    )
