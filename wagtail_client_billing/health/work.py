"""Whether the work gets done: mail, requests, events, and whom we tell."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from ..mail.outbox import due_deliveries
from ..models import AgencySettings, BillingRequest, EmailDelivery, StripeEvent
from .findings import Finding, advice, ok, problem, when

HOLD_IS_STUCK = timedelta(minutes=10)
MAIL_IS_LATE = timedelta(minutes=15)
EVENT_IS_LATE = timedelta(minutes=15)
LOOK_BACK = timedelta(days=7)
# As many of a kind as anybody reads.
MOST = 20


def mail(now: datetime) -> Iterator[Finding]:
    """What failed and was not sent later, and what waits too long."""
    sent_later = EmailDelivery.objects.filter(
        # Of what concerns no request the kind says it all.
        Q(request=OuterRef("request")) | Q(request=None),
        kind=OuterRef("kind"),
        to=OuterRef("to"),
        pk__gt=OuterRef("pk"),
        state=EmailDelivery.State.SENT,
    )
    failed = (
        EmailDelivery.objects.filter(
            state__in=(EmailDelivery.State.FAILED, EmailDelivery.State.BOUNCED),
            created_at__gt=now - LOOK_BACK,
        )
        .exclude(Exists(sent_later))
        .select_related("request")[:MOST]
    )
    for delivery in failed:
        about = delivery.request or delivery.get_kind_display()
        facts = {"request": about, "why": delivery.get_problem_display()}
        text = _("An e-mail of %(request)s failed: %(why)s") % facts
        yield problem("mail", text, _("Correct the address or the mail server; send it again."))
    # What was put off until the morning waits for nobody.
    late = (
        due_deliveries()
        .filter(created_at__lt=now - MAIL_IS_LATE)
        .exclude(problem="", next_try_at__gt=now)
    )
    waiting = late.count()
    if waiting:
        last = late.exclude(problem="").order_by("-claimed_at").first()
        waits = {"count": waiting, "why": last.get_problem_display() if last else ""}
        text = _("E-mails waiting for more than 15 minutes: %(count)d. %(why)s") % waits
        todo = _("See whether the worker runs and the mail server answers.")
        yield problem("mail", text.strip(), todo)
    if not failed and not waiting:
        yield ok("mail", _("No e-mail failed, and none waits."))


def requests(now: datetime) -> Iterator[Finding]:
    """What somebody has to look at, and changes that do not come to an end."""
    review = BillingRequest.objects.exclude(review_since=None).count()
    if review:
        text = _("Billing requests that need a review: %(count)d.") % {"count": review}
        yield problem("requests", text, _("Look at them under Invoices."))
    stuck = BillingRequest.objects.exclude(hold="").filter(hold_since__lt=now - HOLD_IS_STUCK)
    for request in stuck[:MOST]:
        facts = {"request": request, "change": request.get_hold_display()}
        since = when(request.hold_since) if request.hold_since else ""
        text = _("%(request)s: %(change)s, under way since: %(moment)s") % {
            **facts,
            "moment": since,
        }
        todo = _("See whether Stripe can be reached and the worker runs.")
        yield problem("requests", text, todo)
    if not review and not stuck.exists():
        yield ok("requests", _("No billing request waits for anybody."))


def events(now: datetime) -> Iterator[Finding]:
    """What Stripe told us and nobody has looked into, and what was given up."""
    parked = StripeEvent.objects.filter(state=StripeEvent.State.PARKED)
    if given_up := parked.count():
        text = _("Stripe events that were given up: %(count)d.") % {"count": given_up}
        todo = _("See why, below; once the reason is gone, try them again.")
        yield problem("events", text, todo)
    waiting = StripeEvent.objects.filter(
        state=StripeEvent.State.RECEIVED, received_at__lt=now - EVENT_IS_LATE
    )
    if count := waiting.count():
        error = waiting.exclude(last_error="").values_list("last_error", flat=True).first()
        facts = {"count": count, "why": error or ""}
        text = _("Stripe events waiting for more than 15 minutes: %(count)d. %(why)s") % facts
        todo = _("See whether the worker runs and Stripe can be reached.")
        yield problem("events", text.strip(), todo)
    elif not given_up:
        yield ok("events", _("No event waits."))


def agency(now: datetime) -> Iterator[Finding]:
    """Whether anybody hears of payments."""
    settings = AgencySettings.current()
    if settings is None or not settings.notify:
        todo = _("Give a contact e-mail in Settings → Agency settings.")
        yield advice("agency", _("Nobody is told of payments."), todo)
    else:
        yield ok("agency", _("Payments are told to %(email)s.") % {"email": settings.notify})
