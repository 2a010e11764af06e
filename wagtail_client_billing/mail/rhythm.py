"""What a recurring bill charges and when, as its client agrees to it."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import BillingRequest
from .amounts import amount_text
from .moments import date_text

Type = BillingRequest.BillingType


def rhythm_of(request: BillingRequest) -> str:
    """Amount and interval, such as *€49.00 every month*; empty for one payment alone."""
    words = {
        Type.WEEKLY.value: _("%(amount)s every week"),
        Type.MONTHLY.value: _("%(amount)s every month"),
        Type.QUARTERLY.value: _("%(amount)s every three months"),
        Type.YEARLY.value: _("%(amount)s every year"),
    }.get(request.billing_type)
    return words % {"amount": amount_text(request.amount_minor, request.currency)} if words else ""


def plan_of(request: BillingRequest) -> str:
    """All that paying commits to, in one sentence; empty for one payment alone."""
    rhythm = rhythm_of(request)
    if not rhythm:
        return ""
    facts = {"amount": amount_text(request.amount_minor, request.currency), "rhythm": rhythm}
    if request.ends_after:
        words = ngettext(
            "Pay %(amount)s now, then %(rhythm)s, for %(count)s payment in all.",
            "Pay %(amount)s now, then %(rhythm)s, for %(count)s payments in all.",
            request.ends_after,
        )
        return words % {**facts, "count": request.ends_after}
    if request.ends_on:
        words = _("Pay %(amount)s now, then %(rhythm)s, until %(day)s.")
        return words % {**facts, "day": date_text(request.ends_on)}
    return _("Pay %(amount)s now, then %(rhythm)s.") % facts
