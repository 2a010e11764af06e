"""One billing request: what it is, what can be done with it, and what happened to it."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.widgets.button import Button

from ..models import BillingRequest, CheckoutAttempt, Payment
from ..permissions import site_settings_policy
from .actions import (
    PaymentLinks,
    buttons_for_looking,
    buttons_for_pages,
    can_copy_link,
    can_delete,
    can_edit,
    can_mark_paid,
    can_renew,
    can_resend,
    can_send_again,
    can_take_back,
)
from .amounts import end_text
from .badges import badges_of
from .delivery_rows import delivery_rows
from .evidence import facts_of, review_reason
from .formats import amount_text, day_text, money_text, relative_text
from .money_actions import can_accept, can_dismiss, can_refund, doubtful_payments
from .notices import Notice
from .pages import RequestPage
from .payment_rows import PaymentRow, payment_rows
from .subscription_card import subscription_cards
from .timeline import timeline_of
from .urls import admin_url, site_settings_url


def late_notice(request: BillingRequest, refundable: list[PaymentRow]) -> Notice | None:
    """What is unusual about money that came late, with the way to give it back.

    None once nothing of it is left, or for who may not give it back.
    """
    if not refundable or request.review_since:
        return None
    if request.deleted_at:
        text = _("The client paid although you had deleted this request on %(day)s.")
        day = request.deleted_at
    else:
        text = _("The client paid although this request had expired on %(day)s.")
        day = request.expires_at
    buttons = [
        (row.refund_url, _("Refund %(amount)s") % {"amount": row.amount})
        for row in refundable
        if row.payment.kind == Payment.Kind.FIRST
    ]
    return Notice("warning", text % {"day": day_text(day)}, buttons=buttons)


class DetailView(RequestPage):
    template_name = "wagtail_client_billing/admin/detail.html"
    page_title = gettext_lazy("Invoice")
    http_method_names = ["get", "head", "options"]

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        home, invoices, _own, _here = super().get_breadcrumbs_items()
        return [home, invoices, {"url": "", "label": self.object.number}]

    @property
    def header_more_buttons(self) -> list[Button]:
        """Where Wagtail has what is seldom needed: the row of buttons is for what comes next."""
        return [
            *buttons_for_looking(self.object, PaymentLinks()),
            *buttons_for_pages(self.request.user, self.object, ["remind"]),
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        request = self.object
        payments = payment_rows(self.request.user, request)
        refundable = [row for row in payments if row.refund_url]
        return super().get_context_data(
            amount=amount_text(request),
            badges=badges_of(request),
            buttons=self.buttons(),
            late=late_notice(request, refundable) if request.paid_late else None,
            refund_url=refundable[0].refund_url if len(refundable) == 1 else "",
            link=PaymentLinks().link(request) if can_copy_link(request) else "",
            expires=relative_text(request.expires_at),
            show_expiry=request.status == BillingRequest.Status.PENDING,
            site_url=self.site_url(),
            timeline=timeline_of(request),
            attempts=request.attempts.order_by("-n"),
            attempt_states=CheckoutAttempt.State,
            ends=end_text(request),
            payments=payments,
            calls=[each for row in payments for each in row.disputes if each.loud],
            subscriptions=subscription_cards(self.request.user, request),
            deliveries=delivery_rows(self.request.user, request),
            copies=request.cc.split(),
            review=facts_of(request.review_evidence, request.currency)
            if request.review_since
            else [],
            review_why=review_reason(request.review_reason),
            ways_out=self.ways_out(),
            **kwargs,
        )

    def buttons(self) -> dict[str, str]:
        """The actions that are valid for its state and the user's rights, with their addresses."""
        user, request = self.request.user, self.object
        possible = {
            "resend": can_resend(user, request),
            "renew": can_renew(user, request),
            "send_again": can_send_again(user, request),
            "edit": can_edit(user, request),
            "mark_paid": can_mark_paid(user, request),
            "take_back": can_take_back(user, request),
            "delete": can_delete(user, request),
        }
        return {name: admin_url(name, request.pk) for name, yes in possible.items() if yes}

    def ways_out(self) -> dict[str, Any]:
        """How a review can end: two pages of its own, and a page for each doubtful payment."""
        user, request = self.request.user, self.object
        if request.review_since is None:
            return {}
        found: dict[str, Any] = {
            "refunds": [
                (
                    admin_url("refund", request.pk, payment.pk),
                    money_text(payment.amount_minor, payment.currency),
                )
                for payment in doubtful_payments(request)
                if can_refund(user, payment)
            ]
        }
        if can_accept(user, request):
            found["accept"] = admin_url("accept_review", request.pk)
        if can_dismiss(user, request):
            found["dismiss"] = admin_url("dismiss_review", request.pk)
        return found

    def site_url(self) -> str:
        """The site's Client Billing tab, for those who may open it."""
        site = self.object.site
        if site is None:
            return ""
        allowed = site_settings_policy.user_has_permission_for_instance(
            self.request.user, "change", site
        )
        return site_settings_url(site) if allowed else ""
