"""Giving a payment back, in whole or in part. Reaches Stripe: no transaction may be open."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin import messages

from ..errors import BillingError
from ..gateway.refunds import refund_payment
from ..lifecycle import ends_subscription
from ..mail.reasons import refund_words
from ..models import Dispute, Payment, Refund
from .changing import FormActionPage
from .formats import day_text, money_text
from .money_actions import can_refund
from .refund_form import RefundForm
from .urls import admin_url, detail_url

State = Refund.State


class RefundView(FormActionPage):
    """Asks how much goes back and why; the button gives it back."""

    action = "refund"
    template_name = "wagtail_client_billing/admin/refund.html"
    page_title = gettext_lazy("Refund")
    button = gettext_lazy("Refund")
    header_icon = "arrow-left"
    serious = True
    form_class = RefundForm

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        # Another request's payments do not exist here.
        self.payment = get_object_or_404(self.object.payments, pk=kwargs["payment"])

    def possible(self) -> bool:
        return can_refund(self.request.user, self.payment)

    def too_late(self) -> str:
        if self.payment.kind == Payment.Kind.BY_HAND:
            return _("This payment did not come through Stripe: give it back the way it came.")
        if self.payment.refunded_minor >= self.payment.amount_minor:
            return _("Nothing is left of this payment: all of it was refunded.")
        return _("Stripe has no payment that could be refunded from here.")

    def make_form(self, data: Any = None) -> RefundForm:
        return RefundForm(data, payment=self.payment)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(said_back_url=admin_url("said_back"), **kwargs)

    def sentences(self) -> list[str]:
        payment = self.payment
        facts = {
            "number": self.object.number,
            "email": self.object.email,
            "amount": money_text(payment.amount_minor, payment.currency),
            "day": day_text(payment.received_at),
            "refunded": money_text(payment.refunded_minor, payment.currency),
        }
        found = [_("%(email)s paid %(amount)s for %(number)s on %(day)s.") % facts]
        if payment.refunded_minor:
            found.append(_("%(refunded)s of it was refunded before.") % facts)
        found.append(
            _(
                "The money goes back the way it came. This cannot be undone, and Stripe does not"
                " give its fees back."
            )
        )
        if payment.disputes.exclude(state__in=Dispute.CLOSED).exists():
            found.append(_("This payment is disputed: Stripe may refuse to refund it."))
        found += self._about_subscription()
        return found

    def _about_subscription(self) -> list[str]:
        subscription = self.payment.subscription
        if subscription is None or subscription.has_ended:
            return []
        if ends_subscription(self.payment):
            return [_("The subscription that began with it is cancelled along with it.")]
        return [_("The subscription goes on; cancel it on the page of the invoice.")]

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if asked := self._asked_before(request.POST.get("once", "")):
            self.say(asked)
            return HttpResponseRedirect(self.next_url(detail_url(self.object)))
        return super().post(request, *args, **kwargs)

    def _asked_before(self, once: str) -> Refund | None:
        """The refund that this showing of the form has begun already."""
        try:
            key = str(UUID(once[:64]))
        except ValueError:
            return None
        return self.payment.refunds.filter(idempotency_key__endswith=key).first()

    def act(self) -> None:
        refund = refund_payment(
            self.payment.pk,
            amount_minor=self.data["amount_minor"],
            reason=self.data["reason"],
            once=str(self.data["once"]),
            seen_left=self.form.left,
            user=self.request.user,
        )
        if refund.state == State.REFUSED:
            self.form.begin_again()
            raise BillingError(refused_text(refund))
        self.say(refund)

    def say(self, refund: Refund) -> None:
        """Says what became of a refund, and no more than is known."""
        facts = {
            "amount": money_text(refund.amount_minor, refund.currency),
            "email": self.object.email,
            "why": refund_words(refund.error),
        }
        request = self.request
        match refund.state:
            case State.SUCCEEDED:
                text = _("%(amount)s was refunded to %(email)s. Banks take 5 to 10 days.")
                messages.success(request, text % facts)
            case State.PENDING:
                text = _("%(amount)s is on its way back to %(email)s.")
                messages.success(request, text % facts)
            case State.REQUIRES_ACTION:
                text = _("Stripe has asked %(email)s where %(amount)s should go.")
                messages.success(request, text % facts)
            case State.CREATING:
                text = _(
                    "The refund of %(amount)s waits for Stripe. It is tried again every minute;"
                    " there is nothing more to do."
                )
                messages.warning(request, text % facts)
            case State.REFUSED:
                messages.error(request, refused_text(refund))
            case _:
                text = _("The refund of %(amount)s failed: %(why)s")
                messages.error(request, text % facts)


def refused_text(refund: Refund) -> str:
    """That Stripe said no, and why."""
    text = _("Stripe refused to refund %(amount)s, and nothing was given back: %(why)s")
    amount = money_text(refund.amount_minor, refund.currency)
    return text % {"amount": amount, "why": refund_words(refund.error)}
