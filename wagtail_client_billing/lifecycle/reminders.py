"""Clients are reminded of bills that they have not paid: by the sweep, and by staff."""

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import (
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..errors import BeingChanged, CopyOfProduction, NotAllowed, RemindedAlready
from ..models import (
    AgencySettings,
    BillingRequest,
    EmailDelivery,
    MessageSettings,
    SiteBillingSettings,
    StripeConnection,
)
from ..zones import zone_called
from .mailing import tell_client
from .record import Action, Cause, lock, note
from .reminder_times import MOST_EARLIER, Deadline, goes_now, is_night, morning_after

Kind = EmailDelivery.Kind
State = EmailDelivery.State
Status = BillingRequest.Status

# Between two reminders of one bill, whoever sends them.
PAUSE = timedelta(hours=1)
# While staff change a bill, its reminder waits.
HOLD_PAUSE = timedelta(minutes=2)
CARRIES_LINK = (Kind.PAYMENT_LINK, Kind.CHANGED)


def queue_due(now: datetime, limit: int = 200) -> int:
    """Queues the reminders that are due; returns for how many requests.

    Each goes once for each deadline. Of two that are due, after an outage, the later one goes
    and the earlier never.
    """
    offsets = _offsets()
    if not offsets or not MessageSettings.is_on(Kind.REMINDER):
        return 0
    queued = 0
    for request in _candidates(now, offsets):
        if queued >= limit:
            break
        queued += _remind_if_due(request.pk, offsets, now)
    return queued


def remind(request: BillingRequest, *, user: Any, item: int | None = None) -> list[EmailDelivery]:
    """Queues a reminder that staff have asked for, at whatever time of the day.

    ``item`` is that of the bulk job which it belongs to, so that a repetition finds it.
    Raises ``NotAllowed`` for what was never sent, is not pending or cannot be paid now, and where
    reminders are switched off; ``BeingChanged`` under a hold, ``RemindedAlready`` within an hour,
    and ``CopyOfProduction`` where nothing is mailed.
    """
    connection = StripeConnection.objects.of_account(request.account_id, request.livemode)
    if connection is not None and connection.is_copy:
        raise CopyOfProduction()
    if not MessageSettings.is_on(Kind.REMINDER):
        raise NotAllowed(_("Reminders are switched off in the agency settings, under Messages."))
    with transaction.atomic():
        request = lock(request.pk)
        if request.hold:
            raise BeingChanged()
        if not _waits_for_money(request, timezone.now()):
            raise NotAllowed()
        if _reminded_since(request, timezone.now() - PAUSE):
            raise RemindedAlready()
        note(request, Action.REMINDER_ASKED, cause=Cause.EDITOR, user=user)
        facts = {"expires_at": _iso(request), **({"item": item} if item else {})}
        return tell_client(request, Kind.REMINDER, facts=facts)


def put_off_until(delivery: EmailDelivery, now: datetime) -> datetime | None:
    """Until when a reminder that is about to be sent has to wait; None sends it now.

    It may have waited for a mail server until the night, or for somebody who changes the bill.
    What staff have asked for goes at night too.
    """
    request = delivery.request
    if delivery.kind != Kind.REMINDER or request is None:
        return None
    if request.hold:
        return now + HOLD_PAUSE
    zone = _zone(request)
    if "which" in delivery.facts and is_night(now, zone):
        return morning_after(now, zone)
    return None


def _offsets() -> list[tuple[str, timedelta]]:
    """The agency's reminders by name, the one closest to the end first."""
    agency = AgencySettings.current() or AgencySettings()
    given = {"first": agency.first_reminder, "second": agency.second_reminder}
    known = [(name, offset) for name, offset in given.items() if offset]
    return sorted(known, key=lambda each: each[1])


def _candidates(now: datetime, offsets: list[tuple[str, timedelta]]) -> list[BillingRequest]:
    """Requests of which a reminder seems due, those that end first before the others.

    Seen without a lock; whoever has it looks again.
    """
    pending = BillingRequest.objects.filter(
        status=Status.PENDING,
        sent_at__isnull=False,
        hold="",
        processing_since=None,
        review_since=None,
        expires_at__gt=now,
    )
    near = Q()
    shorter: list[str] = []
    for name, offset in offsets:
        # Whoever had a reminder closer to the end has no use for the other.
        shorter.append(name)
        had = EmailDelivery.objects.filter(
            request=OuterRef("pk"),
            kind=Kind.REMINDER,
            facts__which__in=list(shorter),
            created_at__gte=OuterRef("began"),
        )
        in_reach = Q(expires_at__lte=now + offset + MOST_EARLIER, link_lifetime__gte=2 * offset)
        near |= Q(in_reach & ~Exists(had))
    began = ExpressionWrapper(F("expires_at") - F("link_lifetime"), output_field=DateTimeField())
    told = _carriers(OuterRef("pk"), OuterRef("email"), OuterRef("began")).values("sent_at")[:1]
    found = pending.annotate(began=began).filter(near).annotate(told=Subquery(told))
    zones = dict(SiteBillingSettings.objects.values_list("site_id", "time_zone"))
    due: list[BillingRequest] = []
    for request in found.exclude(told=None).order_by("expires_at", "pk"):
        zone = zone_called(zones.get(request.site_id) or "")
        deadline = Deadline(request.expires_at, request.link_lifetime, request.told, zone)
        if any(goes_now(deadline, offset, now) for _name, offset in offsets):
            due.append(request)
    return due


def _remind_if_due(pk: int, offsets: list[tuple[str, timedelta]], now: datetime) -> bool:
    try:
        with transaction.atomic():
            request = lock(pk)
            which = _which_goes(request, offsets, now)
            if which is None:
                return False
            facts = {"which": which, "expires_at": _iso(request)}
            key = _key(request, which)
            return bool(tell_client(request, Kind.REMINDER, once=key, facts=facts))
    except IntegrityError:
        # Where row locks do nothing, another worker was faster.
        return False


def _which_goes(
    request: BillingRequest, offsets: list[tuple[str, timedelta]], now: datetime
) -> str | None:
    if request.hold or not _waits_for_money(request, now):
        return None
    told_at = _told_at(request)
    if told_at is None or _reminded_since(request, now - PAUSE):
        return None
    deadline = Deadline(request.expires_at, request.link_lifetime, told_at, _zone(request))
    for which, offset in offsets:
        if _was_queued(request, which):
            return None
        if goes_now(deadline, offset, now):
            return which
    return None


def _waits_for_money(request: BillingRequest, now: datetime) -> bool:
    """Whether its client has been asked, can pay, and has not begun to."""
    return (
        request.status == Status.PENDING
        and request.sent_at is not None
        and request.expires_at > now
        and not request.processing_since
        and not request.review_since
    )


def _told_at(request: BillingRequest) -> datetime | None:
    """Since when its client has the link with this deadline."""
    began = request.expires_at - request.link_lifetime
    carried = _carriers(request.pk, request.email, began)
    return carried.values_list("sent_at", flat=True).first()


def _carriers(request_pk: Any, email: Any, began: Any) -> QuerySet[EmailDelivery]:
    """The mails by which a client has the link with the present deadline, the first one first."""
    return EmailDelivery.objects.filter(
        request=request_pk,
        kind__in=CARRIES_LINK,
        role=EmailDelivery.Role.TO,
        to=email,
        state=State.SENT,
        sent_at__gte=began,
    ).order_by("sent_at", "pk")


def _reminded_since(request: BillingRequest, moment: datetime) -> bool:
    recent = request.deliveries.filter(kind=Kind.REMINDER, created_at__gt=moment)
    return recent.exclude(state=State.DROPPED).exists()


def _was_queued(request: BillingRequest, which: str) -> bool:
    # Whoever the readers were then: an address that was changed since has just had the link.
    return request.deliveries.filter(once__startswith=f"{_key(request, which)} ").exists()


def _key(request: BillingRequest, which: str) -> str:
    return f"reminder {which} {request.pk} {request.expires_at.timestamp():.6f}"


def _iso(request: BillingRequest) -> str:
    return request.expires_at.isoformat()


def _zone(request: BillingRequest) -> Any:
    defaults = SiteBillingSettings.current(request.site)
    return zone_called(defaults.time_zone if defaults else "")
