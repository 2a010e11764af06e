"""Stripe's share of the sweep: holds to finish, sessions to ask about, endpoints to make."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Exists, F, Max, OuterRef, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from .. import lifecycle
from ..errors import BillingError, CopyOfProduction, StripeUnavailable
from ..models import (
    BillingRequest,
    CheckoutAttempt,
    LogEntry,
    Payment,
    Refund,
    StripeConnection,
    Subscription,
    SubscriptionChange,
    WebhookEndpoint,
)
from ..models.connection import StripeConnectionQuerySet
from ..rounds import Round
from ..transactions import outside_transaction
from . import event_list
from .changes import Outcome, finish_hold
from .connect import check
from .copies import remember_host
from .endpoints import delete_endpoint, ensure_endpoint
from .platform_endpoints import ensure_platform_endpoint, is_of_another_host
from .reconcile import reconcile
from .refunds import RefundOutcome, finish_refund
from .subscription_changes import finish_change
from .unlink import finish_unlink

logger = logging.getLogger(__name__)

State = CheckoutAttempt.State

# Younger ones are in somebody's hands right now.
HOLD_IS_LEFT = timedelta(minutes=2)
CREATING_IS_LEFT = timedelta(minutes=2)
ASKING_IS_LEFT = timedelta(minutes=2)
UNLINK_IS_LEFT = timedelta(minutes=2)
ASK_REFUSED_EVERY = timedelta(days=1)
# Less than what lies between an agreed end and the charge that it forestalls.
ASK_OVERDUE_EVERY = timedelta(minutes=10)
# Of one round of the sweep: others wait too.
UNLINK_SECONDS = 10
# People pay within minutes of pressing Pay: ask often at first, then every ten minutes.
YOUNG = timedelta(minutes=15)
ASK_YOUNG_EVERY = timedelta(seconds=45)
ASK_EVERY = timedelta(minutes=10)
ASK_PROCESSING_EVERY = timedelta(hours=1)
READ_ACCOUNT_EVERY = timedelta(days=1)
# What was given up without Stripe's word is asked again once its account is back.
ASK_UNCONFIRMED_EVERY = timedelta(hours=1)
UNCONFIRMED_FOR = timedelta(days=30)


def sweep_stripe(deadline: float, stripe_round: Round | None = None) -> int:
    """Does what is due until ``deadline`` (monotonic clock); returns how many steps were made.

    Each step says whether Stripe answered; three in a row that say no end Stripe's share of this
    round.
    """
    outside_transaction()
    remember_host()
    stripe_round = stripe_round or Round()
    done = 0
    for step in _steps(timezone.now()):
        if time.monotonic() > deadline or stripe_round.over:
            break
        stripe_round.note(_answered(step))
        done += 1
    return done


def _answered(step: Callable[[], bool]) -> bool:
    try:
        return step()
    except CopyOfProduction:
        # Left in peace until somebody says whose it is.
        return True
    except Exception:
        # One row that cannot be worked on keeps nobody else waiting.
        logger.exception("A step of the sweep failed")
        return True


def _steps(now: datetime) -> Iterator[Callable[[], bool]]:
    for endpoint in WebhookEndpoint.objects.filter(
        state=WebhookEndpoint.State.CREATING, created_at__lt=now - CREATING_IS_LEFT
    ).select_related("connection"):
        if endpoint.connection is None and is_of_another_host(endpoint.livemode):
            continue
        if endpoint.connection is None:
            yield partial(_make_platform_endpoint, endpoint.livemode)
        elif endpoint.connection.usable:
            yield partial(_make_endpoint, endpoint.connection)
    for connection in (
        StripeConnection.objects.being_unlinked()
        .at_home()
        .filter(unlinked_at__lt=now - UNLINK_IS_LEFT)
    ):
        yield partial(_finish_unlink, connection)
    retired = WebhookEndpoint.objects.filter(
        state=WebhookEndpoint.State.RETIRING,
        retire_at__lt=now,
        connection__unlinked_at=None,
        connection__in=StripeConnection.objects.at_home(),
    )
    for endpoint in retired.select_related("connection"):
        yield partial(delete_endpoint, endpoint)
    for connection in _accounts_to_read(now):
        yield partial(_read_account, connection)
    for connection in event_list.accounts_to_read(now):
        yield partial(event_list.read_events, connection)
    # Holds and sessions in one line: three that fail for ever would starve all others.
    line = [(asked, pk, _finish_hold) for pk, asked in _left_holds(now)]
    line += [(asked, pk, _ask) for pk, asked in _attempts_to_ask(now)]
    line += [(asked, pk, _finish_refund) for pk, asked in _left_refunds(now)]
    line += [(asked, pk, _finish_change) for pk, asked in _left_changes(now)]
    line += [(due, pk, _ask) for pk, due in _subscriptions_to_ask(now)]
    line += [(due, pk, _ask_payment) for pk, due in _payments_to_ask(now)]
    for _asked, pk, step in sorted(line, key=lambda place: place[:2]):
        yield partial(step, pk)


def _finish_hold(pk: int) -> bool:
    return finish_hold(pk) != Outcome.WAITING


def _ask(pk: int) -> bool:
    return not reconcile(pk, cause=LogEntry.Cause.SWEEP).unreachable


def _ask_payment(pk: int) -> bool:
    payment = Payment.objects.get(pk=pk)
    # First, so that one that cannot be asked about waits for its next turn as well.
    lifecycle.payment_asked(payment)
    cause = LogEntry.Cause.SWEEP
    return not reconcile(payment.request_id, cause=cause, payments=[pk]).unreachable


def _finish_refund(pk: int) -> bool:
    return finish_refund(pk) != RefundOutcome.WAITING


def _finish_change(pk: int) -> bool:
    return finish_change(pk)


def _make_endpoint(connection: StripeConnection) -> bool:
    return ensure_endpoint(connection).state != WebhookEndpoint.State.CREATING


def _make_platform_endpoint(livemode: bool) -> bool:
    return ensure_platform_endpoint(livemode).state != WebhookEndpoint.State.CREATING


def _accounts_to_read(now: datetime) -> Iterator[StripeConnection]:
    """Accounts of the platform that nobody has read for a day, the broken ones too."""
    due = StripeConnection.objects.active().exclude(flow=StripeConnection.Flow.RESTRICTED_KEY)
    checked = Coalesce(F("checked_at"), F("connected_at"))
    due = due.annotate(checked=checked).filter(checked__lt=now - READ_ACCOUNT_EVERY)
    return due.order_by("checked").iterator()


def _read_account(connection: StripeConnection) -> bool:
    # First, so that an account that cannot be read waits for its next turn as well.
    StripeConnection.objects.filter(pk=connection.pk).update(checked_at=timezone.now())
    try:
        check(connection, waiting=False)
    except StripeUnavailable:
        return False
    except BillingError:
        return True
    return True


def _finish_unlink(connection: StripeConnection) -> bool:
    report = finish_unlink(connection, seconds=UNLINK_SECONDS)
    return not report.waiting and not report.asking


def _copies() -> StripeConnectionQuerySet:
    """Connections of another host with the account and mode of the row around it."""
    return StripeConnection.objects.copies().filter(
        account_id=OuterRef("account_id"), livemode=OuterRef("livemode")
    )


def _left_holds(now: datetime) -> list[tuple[int, datetime]]:
    """Keys of requests whose hold was left, and when Stripe was last asked for each."""
    left = BillingRequest.objects.exclude(hold="").filter(
        ~Exists(_copies()), hold_since__lt=now - HOLD_IS_LEFT
    )
    asked = Coalesce(Max("attempts__asked_at"), F("hold_since"))
    return list(left.annotate(asked=asked).order_by("asked").values_list("pk", "asked")[:50])


def _attempts_to_ask(now: datetime) -> list[tuple[int, datetime]]:
    """Keys of requests whose attempts are due, and when Stripe was last asked for each."""
    attempts = CheckoutAttempt.objects.filter(~Exists(_copies())).annotate(
        asked=Coalesce(F("asked_at"), F("created_at"))
    )
    creating = Q(state=State.CREATING, created_at__lt=now - CREATING_IS_LEFT)
    past_end = Q(state=State.OPEN, expires_at__lt=now, asked__lt=now - ASK_YOUNG_EVERY)
    young = Q(state=State.OPEN, created_at__gt=now - YOUNG, asked__lt=now - ASK_YOUNG_EVERY)
    older = Q(state=State.OPEN, asked__lt=now - ASK_EVERY)
    processing = Q(state=State.PROCESSING, asked__lt=now - ASK_PROCESSING_EVERY)
    # A request that ended while its session could still be paid has to be closed at Stripe.
    orphaned = Q(state__in=[State.CREATING, State.OPEN]) & ~Q(
        request__status=BillingRequest.Status.PENDING
    )
    connected = StripeConnection.objects.usable().filter(
        account_id=OuterRef("account_id"), livemode=OuterRef("livemode")
    )
    unconfirmed = Q(
        Exists(connected),
        not_confirmed=True,
        expires_at__gt=now - UNCONFIRMED_FOR,
        asked__lt=now - ASK_UNCONFIRMED_EVERY,
    )
    due = attempts.filter(creating | past_end | young | older | processing | orphaned | unconfirmed)
    found: dict[int, datetime] = {}
    for pk, asked in due.order_by("asked").values_list("request_id", "asked")[:200]:
        found.setdefault(pk, asked)
    return list(found.items())


def _of_account(prefix: str = "") -> StripeConnectionQuerySet:
    """Usable connections of the account and mode that the row around it, or its relative, names."""
    return StripeConnection.objects.usable().filter(
        account_id=OuterRef(f"{prefix}account_id"), livemode=OuterRef(f"{prefix}livemode")
    )


def _left_refunds(now: datetime) -> list[tuple[int, datetime]]:
    """Keys of refunds that Stripe has not answered, and when it was last asked for each."""
    left = Refund.objects.filter(
        Exists(_of_account("payment__")), state=Refund.State.CREATING
    ).annotate(asked=Coalesce(F("asked_at"), F("created_at")))
    left = left.filter(asked__lt=now - ASKING_IS_LEFT).order_by("asked")
    return list(left.values_list("pk", "asked")[:50])


def _left_changes(now: datetime) -> list[tuple[int, datetime]]:
    """Keys of changes of subscriptions that Stripe has not answered, in the same way.

    One that nobody waits for, such as the agreed end, was never asked for and is due at once; one
    that Stripe has refused is due every day, and more often once it should have been.
    """
    left = SubscriptionChange.objects.filter(
        Exists(_of_account("subscription__")),
        Q(asked_at=None)
        | Q(asked_at__lt=now - ASKING_IS_LEFT, error="")
        | Q(asked_at__lt=now - ASK_REFUSED_EVERY)
        | Q(asked_at__lt=now - ASK_OVERDUE_EVERY, cancel_at__lte=now),
        state=SubscriptionChange.State.ASKING,
    )
    asked = Coalesce(F("asked_at"), F("created_at"))
    left = left.annotate(asked=asked).order_by("asked")
    return list(left.values_list("pk", "asked")[:50])


def _subscriptions_to_ask(now: datetime) -> list[tuple[int, datetime]]:
    """Keys of requests whose subscription should have changed by itself, and since when."""
    due = Subscription.objects.filter(Exists(_of_account()), ask_at__lte=now).order_by("ask_at")
    return [(pk, since or now) for pk, since in due.values_list("request_id", "ask_at")[:100]]


def _payments_to_ask(now: datetime) -> list[tuple[int, datetime]]:
    """Keys of payments of which news is awaited, and since when."""
    due = Payment.objects.filter(Exists(_of_account()), ask_at__lte=now).order_by("ask_at")
    return [(pk, since or now) for pk, since in due.values_list("pk", "ask_at")[:100]]
