"""Makes our books say what Stripe's say. The one function that everybody calls.

Webhook, return page, *Check with Stripe* and sweep differ only in the cause that the log names,
so that they may come in any order and any number.
"""

from dataclasses import dataclass
from datetime import timedelta
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
from ..models import BillingRequest, CheckoutAttempt, StripeConnection
from ..sealing import SecretUnreadable
from ..transactions import outside_transaction
from . import sessions
from .attempts import close_attempt, create_session
from .client import Api, api_for

State = CheckoutAttempt.State
Status = BillingRequest.Status

# A session cannot outlive its own end: that long after it, silence is an answer.
SILENCE_IS_AN_ANSWER = timedelta(minutes=5)


@dataclass
class Reconciled:
    """What came of it.

    Whether anything changed here, how many sessions Stripe told us about, whether it could not
    be reached (asking again may help), whether its account is lost to us (it cannot), and whether
    something was left to the installation of which this is a copy.
    """

    changed: bool = False
    asked: int = 0
    unreachable: bool = False
    lost: bool = False
    copy: bool = False


@dataclass(frozen=True)
class Asker:
    """On whose behalf Stripe is asked, and what made us ask; goes into the log."""

    cause: str
    user: Any = None
    evidence: dict[str, Any] | None = None

    @property
    def log(self) -> dict[str, Any]:
        return {"cause": self.cause, "user": self.user, "evidence": self.evidence}


def reconcile(
    request_pk: int,
    *,
    cause: str,
    session_id: str | None = None,
    user: Any = None,
    waiting: bool = False,
    evidence: dict[str, Any] | None = None,
) -> Reconciled:
    """Asks Stripe about a request's sessions and writes down what is true.

    ``session_id`` is a hint at a session to ask about even if it counts as over. ``waiting``
    says that a person waits. Never raises for what Stripe does; the result tells.
    """
    outside_transaction()
    request = BillingRequest.objects.get(pk=request_pk)
    asker = Asker(cause, user, evidence)
    before = _picture(request)
    result = Reconciled()
    connection = StripeConnection.objects.of_account(request.account_id, request.livemode)
    for attempt in _worth_asking(request, session_id):
        _ask(attempt, connection, asker, waiting, result)
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


def _worth_asking(request: BillingRequest, session_id: str | None) -> list[CheckoutAttempt]:
    unsettled = Q(state__in=CheckoutAttempt.LIVE) | Q(not_confirmed=True)
    if session_id:
        unsettled |= Q(session_id=session_id)
    return list(request.attempts.filter(unsettled).order_by("n"))


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
    except (AccountLost, NotConnected, SecretUnreadable, NoSuchObject):
        result.lost = True
        give_up_when_over(attempt)
    except StripeRefused as error:
        # A create that was refused has failed by that; a missing right keeps us from knowing.
        if error.missing_right or error.code == "idempotency_error":
            result.lost = True
            give_up_when_over(attempt)


def give_up_when_over(attempt: CheckoutAttempt) -> bool:
    """Ends an attempt that Stripe can never be asked about, once its session must be over.

    The fact *not confirmed by Stripe* goes with it. Returns whether the attempt is over.
    """
    if timezone.now() < attempt.expires_at + SILENCE_IS_AN_ANSWER:
        return False
    lifecycle.attempt_over(attempt, State.EXPIRED, not_confirmed=True)
    return True


def _settle(api: Api, attempt: CheckoutAttempt, asker: Asker) -> None:
    if attempt.session_id is None:
        create_session(api, attempt)
        request = BillingRequest.objects.get(pk=attempt.request_id)
        # Nobody was ever given this session's address, so closing it takes nothing away.
        if request.is_over and close_attempt(api, attempt):
            return
    session = sessions.retrieve(api, attempt.session_id or "")
    match session["status"], session["payment_status"]:
        case "expired", _:
            lifecycle.attempt_over(attempt, State.EXPIRED)
        case "complete", "paid":
            _paid(attempt, session, asker)
        case "complete", "unpaid":
            _under_way(attempt, session, asker)
        case "complete", other:
            lifecycle.flag_review(attempt, "no_payment", {"payment_status": other}, **_who(asker))
        case _:
            lifecycle.attempt_checked(attempt)


def _paid(attempt: CheckoutAttempt, session: dict[str, Any], asker: Asker) -> None:
    differs = sessions.mismatch(attempt, session)
    if differs:
        found = {"payment": sessions.intent_id(session), "differs": differs}
        found |= asker.evidence or {}
        lifecycle.flag_review(attempt, "mismatch", found, **_who(asker))
        return
    lifecycle.record_payment(attempt, sessions.payment_facts(attempt, session), **asker.log)


def _under_way(attempt: CheckoutAttempt, session: dict[str, Any], asker: Asker) -> None:
    if sessions.intent_status(session) in ("requires_payment_method", "canceled"):
        lifecycle.payment_failed(attempt, **asker.log)
        return
    news = lifecycle.mark_processing(
        attempt, payment_intent_id=sessions.intent_id(session), **asker.log
    )
    if not news:
        lifecycle.attempt_checked(attempt)


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
    )
