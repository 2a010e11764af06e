"""The ways out of a review that need no Stripe: accept the money, or dismiss the doubt."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin import messages

from .. import lifecycle
from ..models import BillingRequest
from .changing import FormActionPage
from .evidence import review_reason
from .fields import OneLineField
from .formats import amount_text, money_text
from .money_actions import can_accept, can_dismiss, doubtful_payments


class AcceptForm(forms.Form):
    """The review that was shown, so that no other one is ended."""

    seen = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)

    def __init__(self, *args: Any, bill: BillingRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if bill.review_since is not None:
            self.fields["seen"].initial = bill.review_since.isoformat()


class DismissForm(AcceptForm):
    """The same, and why nothing is done about it."""

    why = OneLineField(
        label=gettext_lazy("Reason"),
        max_length=250,
        required=False,
        help_text=gettext_lazy("Kept in the history. Only your team sees it."),
    )


class ReviewPage(FormActionPage):
    """Ends a review."""

    action = "mark_paid"

    def too_late(self) -> str:
        if self.object.review_since is not None:
            return super().too_late()
        return _("%(number)s needs no review any more.") % {"number": self.object.number}


class AcceptReviewView(ReviewPage):
    """Takes the money as it came."""

    page_title = gettext_lazy("Accept the money")
    button = gettext_lazy("Accept the money")
    header_icon = "check"
    form_class = AcceptForm

    def possible(self) -> bool:
        return can_accept(self.request.user, self.object)

    def sentences(self) -> list[str]:
        found = [review_reason(self.object.review_reason)]
        facts = {"number": self.object.number, "asked": amount_text(self.object)}
        for payment in doubtful_payments(self.object):
            amount = money_text(payment.amount_minor, payment.currency)
            text = _("%(amount)s came in for %(number)s, which asked for %(asked)s.")
            found.append(text % {**facts, "amount": amount})
        found.append(_("The money counts as it came, the review ends, and nothing is refunded."))
        return found

    def act(self) -> None:
        lifecycle.accept_review(self.object.pk, user=self.request.user, seen=self.data["seen"])
        self.object.refresh_from_db()
        facts = {"number": self.object.number, "status": self.status_word()}
        text = _("The money was accepted. %(number)s is %(status)s.")
        messages.success(self.request, text % facts)


class DismissReviewView(ReviewPage):
    """Leaves everything as it is."""

    page_title = gettext_lazy("Dismiss the review")
    button = gettext_lazy("Dismiss the review")
    header_icon = "cross"
    form_class = DismissForm

    def possible(self) -> bool:
        return can_dismiss(self.request.user, self.object)

    def sentences(self) -> list[str]:
        facts = {"number": self.object.number, "status": self.status_word()}
        return [
            review_reason(self.object.review_reason),
            _("%(number)s stays %(status)s. No money moves, and none is counted or refunded.")
            % facts,
            _("The evidence stays in the history."),
        ]

    def act(self) -> None:
        self.object = lifecycle.dismiss_review(
            self.object.pk, user=self.request.user, why=self.data["why"], seen=self.data["seen"]
        )
        facts = {"number": self.object.number, "status": self.status_word()}
        text = _("The review was dismissed. %(number)s is %(status)s.")
        messages.success(self.request, text % facts)
