"""The small words beside a status: facts that are no status of their own."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from ..models import BillingRequest, EmailDelivery


@dataclass(frozen=True)
class Badge:
    """``kind`` says how it looks: test, info, warning or critical."""

    label: str
    kind: str = "info"
    title: str = ""


def badges_of(request: BillingRequest) -> list[Badge]:
    """All badges of a request that ``with_facts()`` loaded, the most important ones first."""
    found = [
        _test(request),
        _review(request),
        _hold(request),
        _late(request),
        _processing(request),
        _closing(request),
        _not_confirmed(request),
        _mail(request),
    ]
    return [badge for badge in found if badge]


def _test(request: BillingRequest) -> Badge | None:
    if request.livemode:
        return None
    return Badge(_("TEST"), "test", _("Test mode: no real money moves."))


def _review(request: BillingRequest) -> Badge | None:
    if not request.review_since:
        return None
    return Badge(
        _("Needs review"),
        "critical",
        _("Money came in that is not what was asked for. Somebody has to look at it."),
    )


def _hold(request: BillingRequest) -> Badge | None:
    if not request.hold:
        return None
    return Badge(
        str(request.get_hold_display()),
        "warning",
        _("A change is under way. Until it is done, the client cannot pay."),
    )


def _late(request: BillingRequest) -> Badge | None:
    if not request.paid_late:
        return None
    return Badge(
        _("Paid late"),
        "warning",
        _("The money came after the request had expired or been deleted."),
    )


def _processing(request: BillingRequest) -> Badge | None:
    if not request.processing_since:
        return None
    return Badge(_("Processing"), "info", _("The client has paid; their bank is working on it."))


def _closing(request: BillingRequest) -> Badge | None:
    if not request.is_closing:
        return None
    return Badge(
        _("Closing"),
        "info",
        _("The time is up. A payment that had been started may still come in."),
    )


def _not_confirmed(request: BillingRequest) -> Badge | None:
    if not request.not_confirmed:
        return None
    return Badge(
        _("Not confirmed"),
        "warning",
        _("Stripe could not be asked whether this was paid."),
    )


def _mail(request: Any) -> Badge | None:
    if request.status != BillingRequest.Status.PENDING:
        return None
    state = request.__dict__.get("link_delivery_state")
    if state == EmailDelivery.State.QUEUED:
        return Badge(_("E-mail queued"), "info", _("The e-mail waits to be sent."))
    if state == EmailDelivery.State.SENDING:
        return Badge(_("E-mail sending"), "info", _("The e-mail is being sent."))
    if state == EmailDelivery.State.FAILED:
        return Badge(
            _("E-mail failed"), "critical", _("The e-mail with the payment link was not accepted.")
        )
    return None
