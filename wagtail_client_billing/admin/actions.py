"""What can be done with a request, given its state and the rights of whoever looks."""

from collections.abc import Callable, Container
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.widgets.button import Button

from ..links import payment_link
from ..models import BillingRequest
from ..permissions import may
from .money_actions import only_refundable
from .urls import admin_url

Status = BillingRequest.Status


def can_copy_link(request: BillingRequest) -> bool:
    """A link is worth handing on while the bill behind it can be paid."""
    return request.status == Status.PENDING and not request.is_over and _quiet(request)


def can_check(request: BillingRequest) -> bool:
    """Stripe may know of a payment that we do not know of."""
    return (
        request.status != Status.PAID
        or bool(request.review_since)
        # Of what came through Stripe something may have gone back since.
        or bool(request.__dict__.get("received_sum"))
    )


def can_resend(user: Any, request: BillingRequest) -> bool:
    return can_copy_link(request) and may(user, "resend", request)


def can_remind(user: Any, request: BillingRequest) -> bool:
    """Whoever has had the link may be reminded of it."""
    return request.sent_at is not None and can_resend(user, request)


def can_delete(user: Any, request: BillingRequest) -> bool:
    return (
        request.status in (Status.PENDING, Status.EXPIRED)
        and _quiet(request)
        and may(user, "delete", request)
    )


def _quiet(request: BillingRequest) -> bool:
    """Nobody is changing it, and no money is on its way or in doubt."""
    return not request.hold and not request.processing_since and not request.review_since


def can_edit(user: Any, request: BillingRequest) -> bool:
    return can_copy_link(request) and may(user, "change", request)


def can_renew(user: Any, request: BillingRequest) -> bool:
    return (
        request.status == Status.EXPIRED
        and request.site_id is not None
        and _quiet(request)
        and may(user, "change", request)
    )


def can_mark_paid(user: Any, request: BillingRequest) -> bool:
    return (
        request.status in (Status.PENDING, Status.EXPIRED)
        and _quiet(request)
        and may(user, "mark_paid", request)
    )


def can_take_back(user: Any, request: BillingRequest) -> bool:
    return (
        request.status == Status.PAID
        and not request.hold
        and may(user, "mark_paid", request)
        and request.is_paid_by_hand
    )


def can_send_again(user: Any, request: BillingRequest) -> bool:
    return (
        request.status in (Status.EXPIRED, Status.DELETED)
        and request.site_id is not None
        and _quiet(request)
        and may(user, "add", request)
    )


# The actions that have a page of their own.
LED_TO: tuple[tuple[str, Any, str, Callable[[Any, BillingRequest], bool]], ...] = (
    ("resend", gettext_lazy("Resend e-mail"), "mail", can_resend),
    ("remind", gettext_lazy("Send reminder"), "time", can_remind),
    ("renew", gettext_lazy("Renew"), "resubmit", can_renew),
    ("send_again", gettext_lazy("Send again"), "copy", can_send_again),
    ("edit", gettext_lazy("Edit"), "edit", can_edit),
    ("mark_paid", gettext_lazy("Mark as paid"), "check", can_mark_paid),
    ("take_back", gettext_lazy("Take payment back"), "cross", can_take_back),
    ("delete", gettext_lazy("Delete"), "bin", can_delete),
)
ACTIONS = [name for name, _label, _icon, _possible in LED_TO]


class PaymentLinks:
    """Payment links of many requests, and what of them can be refunded.

    Looks up each site's address once.
    """

    def __init__(self) -> None:
        self._of_site: dict[int | None, str] = {}

    def link(self, request: BillingRequest) -> str:
        known = self._of_site.get(request.site_id)
        if known is None:
            known = payment_link(request).replace(request.token, "{token}")
            self._of_site[request.site_id] = known
        return known.replace("{token}", request.token)

    def refundable(self, request: BillingRequest) -> int | None:
        """The only payment of a request that can be refunded, by its primary key."""
        return only_refundable([request]).get(request.pk)


def buttons_for_looking(request: BillingRequest, links: PaymentLinks) -> list[Button]:
    """The ways to look at it, in whatever state it is: as its client, and with Stripe's eyes."""
    as_client = {"target": "_blank", "rel": "noreferrer"}
    buttons = [
        Button(
            _("Open as the client sees it"),
            url=links.link(request),
            icon_name="view",
            attrs=as_client,
            priority=15,
        )
    ]
    if can_check(request):
        url = admin_url("check", request.pk)
        attrs = {
            "data-controller": "w-action",
            "data-action": "w-action#post",
            "data-w-action-url-value": url,
        }
        # The address stays: without JavaScript it leads to a page that asks first.
        buttons.append(
            Button(_("Check with Stripe"), url=url, icon_name="rotate", attrs=attrs, priority=20)
        )
    return buttons


def buttons_for_pages(
    user: Any, request: BillingRequest, names: Container[str] = ACTIONS
) -> list[Button]:
    """What leads to the pages of the named actions, as far as they are possible."""
    return [
        Button(label, url=admin_url(name, request.pk), icon_name=icon, priority=priority)
        for priority, (name, label, icon, possible) in enumerate(LED_TO, start=30)
        if name in names and possible(user, request)
    ]


def row_buttons(user: Any, request: BillingRequest, links: PaymentLinks) -> list[Button]:
    """The entries of a row's "…" menu."""
    buttons = [
        Button(
            _("Details"), url=admin_url("inspect", request.pk), icon_name="info-circle", priority=5
        ),
        *buttons_for_looking(request, links),
    ]
    if can_copy_link(request):
        link = links.link(request)
        attrs = {
            "data-controller": "w-clipboard",
            "data-action": "w-clipboard#copy:prevent",
            "data-w-clipboard-value-param": link,
        }
        buttons.append(Button(_("Copy link"), url=link, icon_name="copy", attrs=attrs, priority=10))
    buttons += buttons_for_pages(user, request)
    if may(user, "refund", request) and (payment := links.refundable(request)):
        url = admin_url("refund", request.pk, payment)
        buttons.append(Button(_("Refund"), url=url, icon_name="arrow-left", priority=35))
    return buttons
