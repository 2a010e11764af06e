"""The form of a refund: how much of one payment, and why."""

import uuid
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Payment
from .amounts import LONGEST_AMOUNT, minor_units, read_amount, said_back
from .doubts import Doubt, Money, doubts_about_reading
from .fields import OneLineField
from .formats import money_text, typed_money


class RefundForm(forms.Form):
    """Asks how much of a payment goes back; without a change, all that is left of it.

    What was left when the form was shown is sent along and compared, so that two people who
    refund the same payment do not give the money back twice.
    """

    shown = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    # Says which showing of the form this is, so that pressing the button twice refunds once.
    once = forms.UUIDField(required=False, initial=uuid.uuid4, widget=forms.HiddenInput)
    # For what is said back while somebody types.
    currency = forms.CharField(required=False, max_length=3, widget=forms.HiddenInput)
    amount = forms.CharField(
        label=gettext_lazy("Amount"),
        max_length=LONGEST_AMOUNT,
        widget=forms.TextInput(
            attrs={"inputmode": "decimal", "autocomplete": "off", "data-w-swap-target": "input"}
        ),
    )
    reason = OneLineField(
        label=gettext_lazy("Reason"),
        max_length=250,
        required=False,
        help_text=gettext_lazy("Kept in the history. Only your team sees it."),
    )

    def __init__(self, *args: Any, payment: Payment, **kwargs: Any) -> None:
        self.payment = payment
        self.left = payment.refundable_minor
        kwargs["initial"] = {
            "shown": self._fingerprint(),
            "currency": payment.currency,
            "amount": typed_money(self.left, payment.currency),
        }
        super().__init__(*args, **kwargs)
        self.doubts: list[Doubt] = []
        currency = {"currency": payment.currency}
        self.fields["amount"].label = _("Amount in %(currency)s") % currency
        self._say_what_is_left()

    def clean_amount(self) -> Decimal:
        return read_amount(self.cleaned_data["amount"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        known = constant_time_compare(data.get("shown") or "", self._fingerprint())
        if not known or not data.get("once"):
            self.begin_again()
            text = _("This payment was changed meanwhile, and %(left)s is left of it.")
            left = {"left": self._money(self.left)}
            raise ValidationError(text % left, code="changed")
        if "amount" in data:
            self._check_amount(data["amount"])
        return data

    def begin_again(self) -> None:
        """What the form shows from now on is another refund, with what was typed kept."""
        # Stripe may have told of other refunds while this one was asked for.
        self.left = self.payment.refundable_minor
        self._say_what_is_left()
        data = cast(Any, self.data).copy()
        data[self.add_prefix("shown")] = self._fingerprint()
        data[self.add_prefix("once")] = str(uuid.uuid4())
        self.data = data

    def _say_what_is_left(self) -> None:
        self.fields["amount"].help_text = _("At most %(left)s.") % {"left": self._money(self.left)}

    def _check_amount(self, amount: Decimal) -> None:
        code = self.payment.currency
        try:
            minor = minor_units(amount, code)
            if minor > self.left:
                text = _("Only %(left)s is left of this payment.")
                raise ValidationError(text % {"left": self._money(self.left)}, code="too_much")
        except ValidationError as error:
            self.add_error("amount", error)
            return
        self.cleaned_data["amount_minor"] = minor
        if minor == self.left:
            return
        asked = Money(str(self["amount"].value() or ""), minor, code)
        self.doubts = [doubt.answered_by(self.data) for doubt in doubts_about_reading(asked)]
        if not all(doubt.confirmed for doubt in self.doubts):
            text = _("Nothing was refunded yet. Please look at this once more.")
            self.add_error(None, ValidationError(text, code="unconfirmed"))

    @property
    def said_back(self) -> dict[str, str]:
        """What is said back of the amount that the form shows."""
        return said_back(str(self["amount"].value() or ""), self.payment.currency)

    def _money(self, minor: int) -> str:
        return money_text(minor, self.payment.currency)

    def _fingerprint(self) -> str:
        """Stands for the payment and what is left of it."""
        values = f"{self.payment.pk} {self.left} {self.payment.currency}"
        # Named: the default changes in Django 2028.
        return salted_hmac("wagtail_client_billing.refund", values, algorithm="sha256").hexdigest()
