"""What can be done with a request, given its state and the rights of whoever looks."""

from typing import Any

from django.utils.translation import gettext as _
from wagtail.admin.widgets.button import Button

from ..links import payment_link
from ..models import BillingRequest
from ..permissions import may
from .urls import admin_url

Status = BillingRequest.Status


def can_copy_link(request: BillingRequest) -> bool:
    """A link is worth handing on while the bill behind it can be paid."""
    return (
        request.status == Status.PENDING
        and not request.is_over
        and not request.hold
        and not request.processing_since
        and not request.review_since
    )


def can_check(request: BillingRequest) -> bool:
    """Stripe may know of a payment that we do not know of."""
    return request.status != Status.PAID or bool(request.review_since)


def can_resend(user: Any, request: BillingRequest) -> bool:
    return can_copy_link(request) and may(user, "resend", request)


def can_delete(user: Any, request: BillingRequest) -> bool:
    return (
        request.status in (Status.PENDING, Status.EXPIRED)
        and not request.hold
        and not request.processing_since
        and not request.review_since
        and may(user, "delete", request)
    )


def can_send_again(user: Any, request: BillingRequest) -> bool:
    return (
        request.status in (Status.EXPIRED, Status.DELETED)
        and request.site_id is not None
        and may(user, "add", request)
    )


class PaymentLinks:
    """Payment links of many requests; looks up each site's address once."""

    def __init__(self) -> None:
        self._of_site: dict[int | None, str] = {}

    def link(self, request: BillingRequest) -> str:
        known = self._of_site.get(request.site_id)
        if known is None:
            known = payment_link(request).replace(request.token, "{token}")
            self._of_site[request.site_id] = known
        return known.replace("{token}", request.token)


def row_buttons(user: Any, request: BillingRequest, links: PaymentLinks) -> list[Button]:
    """The entries of a row's "…" menu."""
    buttons = [
        Button(
            _("Details"), url=admin_url("inspect", request.pk), icon_name="info-circle", priority=5
        )
    ]
    if can_copy_link(request):
        link = links.link(request)
        attrs = {
            "data-controller": "w-clipboard",
            "data-action": "w-clipboard#copy:prevent",
            "data-w-clipboard-value-param": link,
        }
        buttons.append(Button(_("Copy link"), url=link, icon_name="copy", attrs=attrs, priority=10))
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
    if can_send_again(user, request):
        url = admin_url("send_again", request.pk)
        buttons.append(Button(_("Send again"), url=url, icon_name="resubmit", priority=30))
    if can_delete(user, request):
        url = admin_url("delete", request.pk)
        buttons.append(Button(_("Delete"), url=url, icon_name="bin", priority=40))
    return buttons
