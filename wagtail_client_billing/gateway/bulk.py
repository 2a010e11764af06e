"""One action on many requests. ``start`` only records it; the worker does the rest."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import lifecycle
from ..errors import (
    BeingChanged,
    BillingError,
    CopyOfProduction,
    NotAllowed,
    NotConnected,
    RemindedAlready,
)
from ..models import (
    BillingRequest,
    BulkItem,
    BulkJob,
    EmailDelivery,
    LogEntry,
    MessageSettings,
    StripeConnection,
)
from ..rounds import Round
from ..transactions import outside_transaction
from ..waking import wake_on_commit
from .changes import Outcome, finish_hold
from .reconcile import reconcile

logger = logging.getLogger(__name__)

Hold = BillingRequest.Hold
Kind = BulkJob.Kind
State = BulkItem.State
Status = BillingRequest.Status
Result = BulkItem.Result

# A worker that took an item and is not heard of for that long has died.
STUCK_AFTER = timedelta(minutes=5)
RETRY_MINUTES = (1, 2, 5, 10, 30)
# Of what fails for a reason that we do not know.
MOST_TRIES = 5
KEEP_FOR = timedelta(days=30)


def start(kind: str, requests: Any, *, user: Any, once: UUID | None = None) -> BulkJob:
    """Records an action on requests that the user has the right to act on; talks to nobody.

    Deleting puts a hold on each, so that none can be paid from now on. What another job sends
    again, or has just sent, is left out. What cannot be done with a request is its result from
    the start. The same ``once`` of the same user is one job, however often it comes. Raises
    ``NotAllowed`` for more than ``BulkJob.MOST``.
    """
    once = once or uuid4()
    try:
        with transaction.atomic():
            return _start(kind, requests, user, once)
    except IntegrityError:
        if started := BulkJob.objects.filter(uuid=once, user=user, kind=kind).first():
            return started
        raise


def _start(kind: str, requests: Any, user: Any, once: UUID) -> BulkJob:
    with transaction.atomic():
        pks = list(requests.order_by("pk").values_list("pk", flat=True)[: BulkJob.MOST + 1])
        if len(pks) > BulkJob.MOST:
            text = _("At most %(count)d requests can be chosen at once.") % {"count": BulkJob.MOST}
            raise NotAllowed(text)
        job = BulkJob.objects.create(kind=kind, user=user, uuid=once)
        results: dict[int, str] = {}
        if kind == Kind.DELETE:
            results = _hold(pks, user)
        elif kind == Kind.SEND_AGAIN:
            results = dict.fromkeys(_sent_again_already(pks), Result.REPEATED)
        now = timezone.now()
        BulkItem.objects.bulk_create(
            BulkItem(
                job=job,
                request_id=pk,
                state=State.FINISHED if pk in results else State.QUEUED,
                result=results.get(pk, ""),
                finished_at=now if pk in results else None,
            )
            for pk in pks
        )
        wake_on_commit("drain_bulk")
    return job


def _hold(pks: list[int], user: Any) -> dict[int, str]:
    """Holds what may be deleted; returns why the others may not."""
    chosen = BillingRequest.objects.filter(pk__in=pks)
    copies = StripeConnection.objects.copies().filter(
        account_id=OuterRef("account_id"), livemode=OuterRef("livemode")
    )
    results: dict[int, str] = dict.fromkeys(
        chosen.filter(Exists(copies)).values_list("pk", flat=True), Result.COPY
    )
    may_be_held = chosen.exclude(pk__in=results)
    _held, refused = lifecycle.place_holds(may_be_held, Hold.DELETE, user=user)
    rows = BillingRequest.objects.in_bulk(refused)
    return results | {pk: _why(rows[pk], error) for pk, error in refused.items()}


def _sent_again_already(pks: list[int]) -> set[int]:
    """Those that another job asks the client for, so that two people at once bill nobody twice."""
    # Whoever comes second waits here, and then sees what the first has written.
    list(BillingRequest.objects.select_for_update().filter(pk__in=pks).order_by("pk"))
    since = timezone.now() - lifecycle.REPEATED_WITHIN
    theirs = BulkItem.objects.filter(job__kind=Kind.SEND_AGAIN, request__in=pks)
    sent = Q(result=Result.SENT, job__created_at__gt=since)
    found = theirs.filter(~Q(state=State.FINISHED) | sent)
    return set(found.values_list("request", flat=True))


def _why(request: BillingRequest, error: BillingError) -> str:
    if isinstance(error, BeingChanged):
        return Result.BEING_CHANGED
    if request.review_since:
        return Result.IN_DOUBT
    if request.status == Status.PAID:
        return Result.PAID
    return Result.PROCESSING if request.processing_since else Result.NOT_ALLOWED


def drain(deadline: float, stripe_round: Round | None = None) -> int:
    """Works on what is due until ``deadline`` (monotonic clock); returns how many items.

    Three failures in a row to reach Stripe end its share of the round.
    """
    outside_transaction()
    stripe_round = stripe_round or Round()
    done = 0
    _take_back_stuck()
    while time.monotonic() < deadline and not stripe_round.over:
        item = _claim()
        if item is None:
            break
        result = _work(item)
        _write(item, result)
        stripe_round.note(result != Result.WAITING)
        done += 1
    return done


def prune() -> int:
    """Forgets jobs that ended long ago; what they did stays in each request's log."""
    old = BulkJob.objects.filter(created_at__lt=timezone.now() - KEEP_FOR)
    ended = old.exclude(items__state__in=[State.QUEUED, State.WORKING])
    return ended.delete()[0]


def _claim() -> BulkItem | None:
    now = timezone.now()
    due = BulkItem.objects.filter(state=State.QUEUED, next_try_at__lte=now)
    for item in due.order_by("next_try_at", "pk")[:20]:
        # By its own row alone: of two workers, whoever changes it first has it.
        mine = BulkItem.objects.filter(pk=item.pk, state=State.QUEUED).update(
            state=State.WORKING, claimed_at=now, tries=item.tries + 1
        )
        if mine:
            return BulkItem.objects.select_related("job__user", "request__site").get(pk=item.pk)
    return None


def _take_back_stuck() -> None:
    # Each action may be done twice: its hold, its key or what Stripe says makes it one.
    BulkItem.objects.filter(
        state=State.WORKING, claimed_at__lt=timezone.now() - STUCK_AFTER
    ).update(state=State.QUEUED)


def _write(item: BulkItem, result: str) -> None:
    now = timezone.now()
    mine = BulkItem.objects.filter(pk=item.pk, state=State.WORKING)
    again = (
        result == Result.WAITING
        or (result == Result.LOST and item.job.kind == Kind.DELETE)
        or (result == Result.FAILED and item.tries < MOST_TRIES)
    )
    if again:
        minutes = RETRY_MINUTES[min(item.tries, len(RETRY_MINUTES)) - 1]
        later = now + timedelta(minutes=minutes)
        mine.update(state=State.QUEUED, result=result, next_try_at=later)
    else:
        mine.update(state=State.FINISHED, result=result, made=item.made, finished_at=timezone.now())


def _work(item: BulkItem) -> str:
    try:
        return WORK[item.job.kind](item)
    except CopyOfProduction:
        return Result.COPY
    except NotConnected:
        return Result.NOT_CONNECTED
    except BeingChanged:
        return Result.BEING_CHANGED
    except NotAllowed:
        return Result.NOT_ALLOWED
    except Exception:
        # One row that cannot be worked on keeps none of the others waiting.
        logger.exception("Item %s of a bulk job failed", item.pk)
        return Result.FAILED


def _delete(item: BulkItem) -> str:
    outcome = finish_hold(item.request_id)
    request = BillingRequest.objects.get(pk=item.request_id)
    if request.review_since:
        return Result.IN_DOUBT
    if request.status == Status.DELETED:
        return Result.DELETED
    return {
        Outcome.PAID: Result.PAID,
        Outcome.PROCESSING: Result.PROCESSING,
        Outcome.WAITING: Result.WAITING,
        Outcome.LOST: Result.LOST,
    }.get(outcome, Result.NOT_ALLOWED)


def _send_again(item: BulkItem) -> str:
    earlier = item.request
    # A worker died after it had made it.
    if made := BillingRequest.objects.filter(uuid=item.uuid).first():
        item.made = made
        return Result.SENT
    if earlier.hold:
        raise BeingChanged()
    if earlier.review_since or earlier.not_confirmed or earlier.processing_since:
        return Result.IN_DOUBT
    if earlier.status not in (Status.EXPIRED, Status.DELETED) or earlier.site is None:
        raise NotAllowed()
    if earlier.ends_on and earlier.ends_on <= timezone.localdate():
        raise NotAllowed()
    connection = StripeConnection.objects.ready().filter(livemode=earlier.livemode).first()
    if connection is None:
        raise NotConnected()
    if not connection.charges(earlier.currency):
        return Result.CURRENCY
    item.made = lifecycle.create_request(
        site=earlier.site,
        connection=connection,
        email=earlier.email,
        cc=earlier.cc.split(),
        bcc=earlier.bcc,
        currency=earlier.currency,
        amount_minor=earlier.amount_minor,
        success_url=earlier.success_url,
        cancel_url=earlier.cancel_url,
        description=earlier.description,
        billing_type=earlier.billing_type,
        ends_after=earlier.ends_after,
        ends_on=earlier.ends_on,
        language=earlier.language,
        link_lifetime=earlier.link_lifetime,
        user=item.job.user,
        once=item.uuid,
    )
    return Result.SENT


def _check(item: BulkItem) -> str:
    answer = reconcile(
        item.request_id,
        cause=LogEntry.Cause.CHECK,
        subscription_ids=None,
        payments=None,
        user=item.job.user,
    )
    if answer.copy:
        return Result.COPY
    if answer.unreachable:
        return Result.WAITING
    if answer.changed:
        return Result.NEWS
    if answer.lost:
        return Result.LOST
    if item.request.status == Status.PAID and not item.request.review_since:
        return Result.PAID
    return Result.NO_NEWS if answer.asked else Result.NOTHING_TO_ASK


def _remind(item: BulkItem) -> str:
    if not MessageSettings.is_on(EmailDelivery.Kind.REMINDER):
        return Result.REMINDERS_OFF
    request = item.request
    # A worker died after it had reminded.
    if request.deliveries.filter(facts__item=item.pk).exists():
        return Result.REMINDED
    if request.review_since or request.status == Status.PAID or request.processing_since:
        return _why(request, NotAllowed())
    try:
        lifecycle.remind(request, user=item.job.user, item=item.pk)
    except RemindedAlready:
        return Result.TOO_SOON
    return Result.REMINDED


WORK: dict[str, Callable[[BulkItem], str]] = {
    Kind.DELETE: _delete,
    Kind.SEND_AGAIN: _send_again,
    Kind.CHECK: _check,
    Kind.REMIND: _remind,
}
