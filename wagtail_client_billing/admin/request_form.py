"""The form of a new billing request, the same in the dialog and as a page."""

import uuid
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.widgets import SwitchInput
from wagtail.models import Site

from ..conf import billing_settings
from ..models import BillingRequest, SiteBillingSettings, StripeConnection
from ..money import MoneyError, currency_of, maximum_minor, parse_amount, to_minor
from ..permissions import sites_for
from .fields import (
    CurrencyField,
    FixedSwitch,
    OneLineField,
    WebAddressField,
    refuse_bad_addresses,
)
from .formats import amount_example, language, money_text

ONE_LINE_MAX = 250


def connections_by_mode() -> dict[bool, StripeConnection]:
    """The connections that new requests can be sent with: live under True, test under False."""
    ready = StripeConnection.objects.ready()
    return {connection.livemode: connection for connection in ready}


def account_name(connection: StripeConnection) -> str:
    """The account as editors know it."""
    return connection.account_name or connection.account_id


class BillingRequestForm(forms.Form):
    """Asks for what the product specification asks for; site, status and account are not here.

    ``connections`` are those that can be used now. With one of them the mode is shown and cannot
    be chosen; what was shown is sent along and compared, so that a form from before a connection
    changed is not sent in the other mode.
    """

    # Says which showing of the form this is, so that pressing Send twice sends once.
    once = forms.UUIDField(required=False, initial=uuid.uuid4, widget=forms.HiddenInput)
    # The accounts that this showing named, so that a bill is sent with one of them or not at all.
    accounts = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    site = forms.ModelChoiceField(queryset=Site.objects.none(), label=gettext_lazy("Site"))
    email = forms.EmailField(
        label=gettext_lazy("Email"),
        max_length=254,
        help_text=gettext_lazy("Your client's address. The payment link goes there."),
    )
    currency = CurrencyField(label=gettext_lazy("Currency"), empty=gettext_lazy("Choose…"))
    amount = forms.CharField(
        label=gettext_lazy("Amount"),
        max_length=40,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )
    description = OneLineField(
        label=gettext_lazy("Description"),
        max_length=ONE_LINE_MAX,
        required=False,
        help_text=gettext_lazy("What the bill is for. Your client sees it."),
    )
    billing_type = forms.ChoiceField(label=gettext_lazy("Billing type"))
    success_url = WebAddressField(
        label=gettext_lazy("Success URL"),
        help_text=gettext_lazy("Where your client goes after paying."),
    )
    cancel_url = WebAddressField(
        label=gettext_lazy("Cancel URL"),
        help_text=gettext_lazy("Where your client goes when leaving without paying."),
    )
    test_mode = forms.BooleanField(
        label=gettext_lazy("Test mode"),
        required=False,
        widget=SwitchInput,
        help_text=gettext_lazy("No real money moves; pay with one of Stripe's test cards."),
    )

    def __init__(
        self,
        *args: Any,
        user: Any,
        site: Site | None = None,
        connections: dict[bool, StripeConnection],
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("auto_id", "wcb-request-%s")
        super().__init__(*args, **kwargs)
        self.connections = connections
        sites = sites_for(user, "add")
        site_field = cast(forms.ModelChoiceField, self.fields["site"])
        site_field.queryset = sites
        if site is not None:
            site_field.initial = site
            site_field.required = False
            site_field.widget = site_field.hidden_widget()
        billing_type = cast(forms.ChoiceField, self.fields["billing_type"])
        billing_type.choices = [(kind.value, kind.label) for kind in BillingRequest.CHARGEABLE]
        self._prefill(site)
        self._show_mode()

    def _prefill(self, site: Site | None) -> None:
        connection = self.connections.get(True) or self.connections.get(False)
        defaults = SiteBillingSettings.current(site)
        currency = (defaults and defaults.currency) or (connection and connection.default_currency)
        known = {
            "currency": (currency or "").upper(),
            "success_url": defaults.success_url if defaults else "",
            "cancel_url": defaults.cancel_url if defaults else "",
        }
        for name, value in known.items():
            self.fields[name].initial = value
        self.fields["amount"].widget.attrs["placeholder"] = amount_example()

    def _show_mode(self) -> None:
        self.fields["accounts"].initial = " ".join(self._account_ids())
        field = self.fields["test_mode"]
        names = {mode: account_name(each) for mode, each in self.connections.items()}
        if len(names) == 2:
            text = _("%(test)s is the test account, %(live)s the live one.")
            accounts = text % {"test": names[False], "live": names[True]}
            field.help_text = f"{field.help_text} {accounts}"
        elif names:
            ((live, name),) = names.items()
            field.initial = not live
            self.initial["test_mode"] = not live
            field.widget = FixedSwitch()
            text = (
                _("Only a live account is connected, %(account)s: this is a real bill.")
                if live
                else _("Only a test account is connected, %(account)s: no real money moves.")
            )
            field.help_text = text % {"account": name}

    def _account_ids(self) -> list[str]:
        return [self.connections[mode].account_id for mode in sorted(self.connections)]

    def clean_amount(self) -> Decimal:
        try:
            return parse_amount(self.cleaned_data["amount"], language())
        except MoneyError:
            raise ValidationError(
                _("Enter an amount like %(example)s.") % {"example": amount_example()},
                code="amount",
            ) from None

    def clean_test_mode(self) -> bool:
        test_mode = self.cleaned_data["test_mode"]
        if (not test_mode) not in self.connections:
            raise ValidationError(
                _("No test account is connected.")
                if test_mode
                else _("No live account is connected."),
                code="mode",
            )
        return test_mode

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "amount" in data and "currency" in data:
            self._check_amount(data["amount"], data["currency"])
        # An invalid mode has its own error; then addresses are held against the stricter rule.
        refuse_bad_addresses(
            self,
            ("success_url", "cancel_url"),
            test_mode=bool(data.get("test_mode")),
            hosts=billing_settings.REDIRECT_HOSTS,
        )
        if "test_mode" in data and data.get("accounts"):
            self._check_account(data["accounts"].split())
        return data

    def _check_account(self, shown: list[str]) -> None:
        if self.connection.account_id in shown:
            return
        text = _("Another account is connected now: %(account)s. Send again to use it.")
        self.add_error("test_mode", text % {"account": account_name(self.connection)})
        # Now it is shown; pressing Send once more is a decision.
        data = cast(Any, self.data).copy()
        data[self.add_prefix("accounts")] = " ".join(self._account_ids())
        self.data = data

    def _check_amount(self, amount: Decimal, code: str) -> None:
        currency = currency_of(code)
        try:
            minor = to_minor(amount, code)
        except MoneyError:
            self.add_error("amount", self._decimals_error(code, currency.digits))
            return
        least = max(currency.minimum_minor, currency.multiple_of)
        if minor < least:
            text = _("The smallest amount that Stripe takes is %(amount)s.")
            self.add_error("amount", text % {"amount": money_text(least, code)})
        elif minor > maximum_minor(code):
            text = _("The largest amount that Stripe takes is %(amount)s.")
            self.add_error("amount", text % {"amount": money_text(maximum_minor(code), code)})
        else:
            self.cleaned_data["amount_minor"] = minor

    @staticmethod
    def _decimals_error(code: str, digits: int) -> str:
        if digits == 0:
            return _("Amounts in %(currency)s have no decimals.") % {"currency": code}
        return _("Amounts in %(currency)s have at most two decimals.") % {"currency": code}

    @property
    def connection(self) -> StripeConnection:
        """The connection of the chosen mode; ask after the form was found valid."""
        return self.connections[not self.cleaned_data["test_mode"]]
