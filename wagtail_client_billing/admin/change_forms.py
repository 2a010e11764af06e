"""The forms of what staff change of a request that was sent."""

from datetime import datetime, time
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import BillingRequest
from .amounts import LONGEST_AMOUNT, minor_units, read_amount, said_back
from .doubts import Doubt, Money, doubts_about_money
from .fields import DayInput, LifetimeField, OneLineField
from .formats import lifetime_text, typed_amount
from .recipients import RecipientsForm


class EditForm(RecipientsForm):
    """What may be changed of a pending request. Its currency, site, mode and account stay."""

    # What was shown, so that nobody overwrites what somebody else has changed meanwhile.
    shown = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    email = forms.EmailField(
        label=gettext_lazy("Email"),
        max_length=254,
        help_text=gettext_lazy(
            "Another address gets a new link, and the link that was sent stops working."
        ),
    )
    # For what is said back while somebody types.
    currency = forms.CharField(required=False, max_length=3, widget=forms.HiddenInput)
    billing_type = forms.CharField(required=False, max_length=20, widget=forms.HiddenInput)
    amount = forms.CharField(
        label=gettext_lazy("Amount"),
        max_length=LONGEST_AMOUNT,
        widget=forms.TextInput(
            attrs={"inputmode": "decimal", "autocomplete": "off", "data-w-swap-target": "input"}
        ),
    )
    description = OneLineField(
        label=gettext_lazy("Description"),
        max_length=250,
        required=False,
        help_text=gettext_lazy("What the bill is for. Your client sees it."),
    )
    mail = forms.BooleanField(
        label=gettext_lazy("Tell the client by e-mail what has changed"),
        required=False,
        initial=True,
        help_text=gettext_lazy("Another address gets it in any case."),
    )

    field_order = ("shown", "email", "cc", "bcc")

    def __init__(self, *args: Any, bill: BillingRequest, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "email": bill.email,
            "cc": bill.cc.split(),
            "bcc": bill.bcc,
            "amount": typed_amount(bill),
            "description": bill.description,
            "shown": _fingerprint(bill),
            "currency": bill.currency,
            "billing_type": bill.billing_type,
        }
        super().__init__(*args, **kwargs)
        self.bill = bill
        self.doubts: list[Doubt] = []
        self.fields["amount"].label = _("Amount in %(currency)s") % {"currency": bill.currency}

    @property
    def said_back(self) -> dict[str, str]:
        """What is said back of the amount that the form shows."""
        typed = str(self["amount"].value() or "")
        return said_back(typed, self.bill.currency, self.bill.billing_type)

    def clean_amount(self) -> Decimal:
        return read_amount(self.cleaned_data["amount"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        self.check_recipients()
        if "amount" in data:
            self._check_amount(data["amount"])
        if not constant_time_compare(data.get("shown") or "", _fingerprint(self.bill)):
            text = _("%(number)s was changed meanwhile. Look at it, then edit it again.")
            raise ValidationError(text % {"number": self.bill.number}, code="changed")
        return data

    def _check_amount(self, amount: Decimal) -> None:
        code = self.bill.currency
        try:
            minor = minor_units(amount, code)
        except ValidationError as error:
            self.add_error("amount", error)
            return
        self.cleaned_data["amount_minor"] = minor
        if minor == self.bill.amount_minor:
            return
        asked = Money(str(self["amount"].value() or ""), minor, code)
        self.doubts = [doubt.answered_by(self.data) for doubt in doubts_about_money(asked)]
        if not all(doubt.confirmed for doubt in self.doubts):
            text = _("Nothing was changed yet. Please look at this once more.")
            self.add_error(None, ValidationError(text, code="unconfirmed"))


def _fingerprint(bill: BillingRequest) -> str:
    """Stands for what may be edited: browsers would change the line ends of the text itself."""
    values = "\n".join([bill.terms, bill.email, bill.description, bill.bcc, bill.cc])
    # Named: the default changes in Django 2028.
    return salted_hmac("wagtail_client_billing.edit", values, algorithm="sha256").hexdigest()


class MarkPaidForm(forms.Form):
    """When and how the money came past Stripe."""

    # The amount that was shown, so that no other one is booked.
    seen = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)
    received_on = forms.DateField(
        label=gettext_lazy("Received on"), widget=DayInput, initial=timezone.localdate
    )
    note = OneLineField(
        label=gettext_lazy("Note"),
        max_length=250,
        required=False,
        help_text=gettext_lazy("How it was paid, such as “bank transfer”. Only your team sees it."),
    )
    mail = forms.BooleanField(
        label=gettext_lazy("Send the client a receipt"), required=False, initial=True
    )

    def __init__(self, *args: Any, bill: BillingRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bill = bill
        self.fields["seen"].initial = bill.terms

    def clean_received_on(self) -> datetime:
        day = self.cleaned_data["received_on"]
        if day > timezone.localdate():
            raise ValidationError(_("This day has not come yet."), code="future")
        if day.year < self.bill.created_at.year - 1:
            raise ValidationError(_("This is long before the bill was sent."), code="past")
        if day == timezone.localdate():
            return timezone.now()
        return timezone.make_aware(datetime.combine(day, time(12)))


class TakeBackForm(forms.Form):
    """Why a payment by hand is taken back."""

    why = OneLineField(
        label=gettext_lazy("Reason"),
        max_length=250,
        required=False,
        help_text=gettext_lazy("Kept in the history. Only your team sees it."),
    )

    def __init__(self, *args: Any, bill: BillingRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class RenewForm(forms.Form):
    """How long a renewed link can be paid."""

    link_lifetime = LifetimeField(label=gettext_lazy("Link valid for"), required=False)

    def __init__(self, *args: Any, bill: BillingRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["link_lifetime"]
        field.initial = bill.link_lifetime
        if bill.not_confirmed:
            self.fields["unconfirmed"] = forms.BooleanField(
                label=_("Ask for it all the same"),
                help_text=_("Stripe could not be asked whether this was paid."),
            )
        text = _("From now on. Leave blank for %(lifetime)s.")
        field.help_text = text % {"lifetime": lifetime_text(bill.link_lifetime)}
