"""One billing request: what it is, what can be done with it, and what happened to it."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from ..models import BillingRequest, CheckoutAttempt, EmailDelivery, Payment
from ..permissions import site_settings_policy
from .actions import (
    PaymentLinks,
    can_check,
    can_copy_link,
    can_delete,
    can_resend,
    can_send_again,
)
from .badges import badges_of
from .formats import amount_text, money_text, relative_text
from .pages import RequestPage
from .timeline import facts_of, review_reason, timeline_of
from .urls import admin_url, site_settings_url


class DetailView(RequestPage):
    template_name = "wagtail_client_billing/admin/detail.html"
    page_title = _("Invoice")
    http_method_names = ["get", "head", "options"]

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        home, invoices, _own, _here = super().get_breadcrumbs_items()
        return [home, invoices, {"url": "", "label": self.object.number}]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        request = self.object
        return super().get_context_data(
            amount=amount_text(request),
            badges=badges_of(request),
            buttons=self.buttons(),
            link=PaymentLinks().link(request) if can_copy_link(request) else "",
            expires=relative_text(request.expires_at),
            show_expiry=request.status == BillingRequest.Status.PENDING,
            site_url=self.site_url(),
            timeline=timeline_of(request),
            attempts=request.attempts.order_by("-n"),
            attempt_states=CheckoutAttempt.State,
            payments=[(payment, _paid(payment)) for payment in request.payments.all()],
            deliveries=request.deliveries.order_by("-pk"),
            delivery_states=EmailDelivery.State,
            review=facts_of(request.review_evidence, request.currency)
            if request.review_since
            else [],
            review_why=review_reason(request.review_reason),
            **kwargs,
        )

    def buttons(self) -> dict[str, str]:
        """The actions that are valid for its state and the user's rights, with their addresses."""
        user, request = self.request.user, self.object
        possible = {
            "check": can_check(request),
            "resend": can_resend(user, request),
            "send_again": can_send_again(user, request),
            "delete": can_delete(user, request),
        }
        return {name: admin_url(name, request.pk) for name, yes in possible.items() if yes}

    def site_url(self) -> str:
        """The site's Client Billing tab, for those who may open it."""
        site = self.object.site
        if site is None:
            return ""
        allowed = site_settings_policy.user_has_permission_for_instance(
            self.request.user, "change", site
        )
        return site_settings_url(site) if allowed else ""


def _paid(payment: Payment) -> str:
    return money_text(payment.amount_minor, payment.currency)
