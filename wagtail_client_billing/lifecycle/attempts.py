"""Attempts: at most one live a request, frozen before Stripe is called."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..errors import BeingChanged, LastDayOver, NotAllowed, NotConnected, TermsChanged
from ..models import BillingRequest, CheckoutAttempt, StripeConnection, Subscription
from .ends import is_past_its_end
from .record import Action, Cause, live_attempt_of, lock, note

State = CheckoutAttempt.State

# Stripe allows sessions of 30 minutes to 24 hours, by its own clock: keep five minutes' distance.
SHORTEST_SESSION = timedelta(minutes=35)
LONGEST_SESSION = timedelta(hours=24) - timedelta(minutes=5)


def session_end(expires_at: datetime, now: datetime) -> datetime:
    """When a session opened now ends: with the request where Stripe's bounds allow it."""
    return max(now + SHORTEST_SESSION, min(expires_at, now + LONGEST_SESSION))


def begin_attempt(
    request_pk: int,
    *,
    build: Callable[[BillingRequest, StripeConnection, int, datetime], dict[str, Any]],
    seen: str = "",
) -> CheckoutAttempt:
    """The live attempt of a request, or a new one, frozen and committed.

    ``build(request, connection, n, ends_at)`` makes the session's parameters; it must not talk
    to anybody. ``seen`` is the ``terms`` that the client was shown, if that is known. Raises
    ``BeingChanged`` under a hold, ``NotAllowed`` when the request cannot be paid (any more), also
    as ``LastDayOver``, ``TermsChanged`` when it asks for something else by now, ``NotConnected`` without a usable
    connection.
    """
    now = timezone.now()
    with transaction.atomic():
        request = lock(request_pk)
        if request.hold:
            raise BeingChanged()
        if request.status != BillingRequest.Status.PENDING or request.review_since:
            raise NotAllowed(_("This bill cannot be paid any more."))
        if seen and seen != request.terms:
            raise TermsChanged()
        live = live_attempt_of(request)
        under_way = live is not None and live.state == State.PROCESSING
        # Whatever became of its attempt here: a debit may still come, and another be too much.
        if request.processing_since and not under_way:
            raise NotAllowed(_("The bank is still working on a payment of this bill."))
        over = request.expires_at <= now
        # What is still being created was shown to nobody: past the deadline it counts as new.
        if live is not None and not (over and live.state == State.CREATING):
            return live
        if over:
            raise NotAllowed(_("The time to pay this bill is over."))
        if is_past_its_end(request):
            raise LastDayOver()
        # Locked, so that an account cannot be unlinked between this look and our commit.
        connection = (
            StripeConnection.objects.usable()
            .select_for_update()
            .filter(account_id=request.account_id, livemode=request.livemode)
            .first()
        )
        if connection is None:
            raise NotConnected()
        n = (request.attempts.aggregate(last=Max("n"))["last"] or 0) + 1
        ends_at = session_end(request.expires_at, now).replace(microsecond=0)
        attempt = CheckoutAttempt.objects.create(
            request=request,
            n=n,
            account_id=request.account_id,
            livemode=request.livemode,
            amount_minor=request.amount_minor,
            currency=request.currency,
            params=build(request, connection, n, ends_at),
            idempotency_key=f"wcb-{request.uuid}-{n}",
            created_at=now,
            expires_at=ends_at,
        )
        note(request, Action.PAY_PRESSED, cause=Cause.CLIENT, evidence={"attempt": n})
    return attempt


def attempt_opened(attempt: CheckoutAttempt, *, session_id: str, url: str) -> bool:
    """Notes the session that Stripe made. False when the attempt was closed in between.

    The session's id is kept in either case: it is the only way to ask about it later.
    """
    with transaction.atomic():
        lock(attempt.request_id)
        row = CheckoutAttempt.objects.get(pk=attempt.pk)
        values: dict[str, Any] = {"session_id": session_id, "checked_at": timezone.now()}
        opened = row.state in (State.CREATING, State.OPEN)
        if opened:
            values |= {"state": State.OPEN, "url": url}
        CheckoutAttempt.objects.filter(pk=attempt.pk, state=row.state).update(**values)
    attempt.refresh_from_db()
    return opened


def attempt_over(
    attempt: CheckoutAttempt, state: str, *, error: str = "", not_confirmed: bool = False
) -> bool:
    """Ends a live attempt without money: expired, or failed. Returns whether it was live.

    Failed is an attempt whose session was never made; one that has a session is left alone.
    ``not_confirmed`` says that Stripe could not be asked. A later answer takes that back. What a
    bank is working on is left alone by it: a bank is not bound by the session's end.
    """
    with transaction.atomic():
        request = lock(attempt.request_id)
        row = CheckoutAttempt.objects.get(pk=attempt.pk)
        live = row.state in CheckoutAttempt.LIVE
        if live and (
            (state == State.FAILED and row.session_id)
            or (not_confirmed and row.state == State.PROCESSING)
        ):
            live = False
        elif live or (row.not_confirmed and not not_confirmed):
            CheckoutAttempt.objects.filter(pk=attempt.pk).update(
                state=state,
                error=error[:255],
                not_confirmed=not_confirmed,
                checked_at=timezone.now(),
                url="",
            )
            if row.not_confirmed and not not_confirmed:
                still = request.attempts.filter(not_confirmed=True).exists()
                BillingRequest.objects.filter(pk=request.pk).update(not_confirmed=still)
    attempt.refresh_from_db()
    return live


def attempt_asked(attempt: CheckoutAttempt) -> None:
    """Notes that Stripe is about to be asked, so that the sweep asks the others first next time."""
    CheckoutAttempt.objects.filter(pk=attempt.pk).update(asked_at=timezone.now())


def ask_again(account_id: str, livemode: bool) -> int:
    """Makes every session of an account due whose end we have not heard; returns how many.

    And its subscriptions, which went on without us.
    """
    theirs = Subscription.objects.filter(account_id=account_id, livemode=livemode)
    theirs.exclude(status__in=Subscription.ENDED).update(ask_at=timezone.now())
    unsettled = Q(state__in=CheckoutAttempt.LIVE) | Q(not_confirmed=True)
    long_ago = timezone.now() - timedelta(days=1)
    return CheckoutAttempt.objects.filter(
        unsettled, account_id=account_id, livemode=livemode
    ).update(asked_at=long_ago)


def attempt_checked(attempt: CheckoutAttempt) -> None:
    """Notes that Stripe was asked and nothing had changed."""
    CheckoutAttempt.objects.filter(pk=attempt.pk).update(checked_at=timezone.now())
