"""Ending a subscription, or keeping it. Reaches Stripe: no transaction may be open."""

from typing import Any

from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin import messages

from ..gateway.subscription_changes import change_subscription
from ..lifecycle import keeping_drops, keeping_restores
from ..models import Subscription, SubscriptionChange
from .acting import ActionPage
from .formats import amount_text, day_text
from .money_actions import can_change, is_reachable
from .urls import detail_url

Kind = SubscriptionChange.Kind
State = SubscriptionChange.State


class SubscriptionPage(ActionPage):
    """Says what a change of a subscription means; the button has Stripe make it."""

    action = "change"
    kind: str
    subscription: Subscription

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        # Another request's subscriptions do not exist here.
        self.subscription = get_object_or_404(self.object.subscriptions, pk=kwargs["subscription"])

    def is_so(self) -> bool:
        """Whether the subscription is already what the change would make of it."""
        raise NotImplementedError

    def done(self) -> str:
        """What is said once it is made."""
        raise NotImplementedError

    def possible(self) -> bool:
        return is_reachable(self.subscription) and can_change(self.subscription, self.kind)

    def too_late(self) -> str:
        if self.is_so():
            return self.done()
        if not is_reachable(self.subscription):
            return _(
                "The Stripe account of this subscription cannot be used from here. Link it again,"
                " or make the change in Stripe's Dashboard."
            )
        return _("Another change of this subscription is under way, or it has ended.")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # "Cancel" would be the way out of a page on which one cancels.
        return super().get_context_data(leave=_("Back"), **kwargs)

    def facts(self) -> dict[str, str]:
        end = self.subscription.cancel_at or self.subscription.current_period_end
        charge = self.subscription.current_period_end
        return {
            "number": self.object.number,
            "email": self.object.email,
            "amount": amount_text(self.object),
            "end": day_text(end) if end else "–",
            "charge": day_text(charge) if charge else "–",
        }

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.is_so():
            # Pressed twice: the first press has done it.
            messages.success(request, self.done())
            return HttpResponseRedirect(self.next_url(detail_url(self.object)))
        if not self.possible():
            messages.error(request, self.too_late())
            return HttpResponseRedirect(self.next_url(detail_url(self.object)))
        return super().post(request, *args, **kwargs)

    def act(self) -> None:
        change = change_subscription(self.subscription.pk, self.kind, user=self.request.user)
        self.subscription.refresh_from_db()
        match change.state:
            case State.DONE:
                messages.success(self.request, self.done())
            case State.ASKING:
                text = _(
                    "“%(change)s” waits for Stripe. It is tried again every minute; until then the"
                    " subscription is as it was."
                )
                facts = {"change": change.get_kind_display()}
                messages.warning(self.request, text % facts)
            case State.REFUSED:
                text = _("Stripe refused, and the subscription is as it was: %(why)s")
                messages.error(self.request, text % {"why": change.error})
            case _:
                text = _("Meanwhile somebody has asked Stripe for another change.")
                messages.warning(self.request, text)


class CancelNowView(SubscriptionPage):
    """Ends it at once."""

    kind = Kind.CANCEL_NOW
    page_title = gettext_lazy("Cancel the subscription now")
    button = gettext_lazy("Yes, cancel it now")
    header_icon = "cross"
    serious = True

    def is_so(self) -> bool:
        return self.subscription.has_ended

    def sentences(self) -> list[str]:
        return [
            _("The subscription of %(email)s ends at once, and nothing more is charged.")
            % self.facts(),
            _(
                "Nothing is refunded by that: what was paid for the rest of the period stays paid"
                " unless you refund it."
            ),
            _("This cannot be undone. To go on, the client needs a new billing request."),
        ]

    def done(self) -> str:
        text = _("The subscription of %(number)s has ended. Nothing more is charged.")
        return text % self.facts()


class CancelLaterView(SubscriptionPage):
    """Ends it with the period that is paid."""

    kind = Kind.CANCEL_LATER
    page_title = gettext_lazy("Cancel at the end of the period")
    button = gettext_lazy("Yes, cancel it then")
    header_icon = "calendar"

    def is_so(self) -> bool:
        return self.subscription.has_ended or self.subscription.cancel_at_period_end

    def facts(self) -> dict[str, str]:
        # The end that this makes, whatever end was agreed before.
        found = super().facts()
        return {**found, "end": found["charge"]}

    def sentences(self) -> list[str]:
        return [
            _("The subscription of %(email)s runs until %(end)s, and nothing more is charged.")
            % self.facts(),
            _("Until then you can change your mind: press Keep."),
        ]

    def done(self) -> str:
        if self.subscription.has_ended:
            return _("The subscription of %(number)s has ended.") % self.facts()
        text = _("The subscription of %(number)s ends on %(end)s. Nothing more is charged.")
        return text % self.facts()


class KeepView(SubscriptionPage):
    """Takes a planned end back."""

    kind = Kind.KEEP
    page_title = gettext_lazy("Keep the subscription")
    button = gettext_lazy("Yes, keep it")
    header_icon = "resubmit"

    def is_so(self) -> bool:
        return not self.subscription.has_ended and not self.subscription.is_ending

    def sentences(self) -> list[str]:
        facts = self.facts()
        found = [_("The subscription of %(email)s no longer ends on %(end)s.") % facts]
        restored = keeping_restores(self.subscription)
        charge = self.subscription.current_period_end
        if restored is None or (charge and charge < restored):
            found.append(_("The client is charged %(amount)s on %(charge)s, and so on.") % facts)
        if restored is not None:
            text = _("The end that was agreed holds again: %(end)s.")
            found.append(text % {"end": day_text(restored)})
        if keeping_drops(self.subscription):
            found.append(_("The end that was agreed is dropped: it goes on until it is cancelled."))
        return found

    def done(self) -> str:
        restored = self.subscription.is_ending and self.subscription.cancel_at
        if restored:
            text = _("The subscription of %(number)s goes on until its agreed end on %(end)s.")
            return text % self.facts()
        return _("The subscription of %(number)s goes on.") % self.facts()
