"""The form of a new billing request, the same in the dialog and as a page."""

import uuid
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.widgets import SwitchInput
from wagtail.models import Site

from ..conf import billing_settings
from ..models import BillingRequest, SiteBillingSettings, StripeConnection
from ..money import CURRENCIES
from ..permissions import sites_for
from ..rights import why_not_recurring
from .amounts import LONGEST_AMOUNT, minor_units, read_amount, said_back
from .doubts import Asked, Doubt, doubts_about, doubts_about_earlier
from .ends_form import EndsForm
from .fields import (
    CurrencyField,
    FixedSwitch,
    LifetimeField,
    OneLineField,
    WebAddressField,
    refuse_bad_addresses,
)
from .formats import amount_example, client_language_choices, lifetime_text
from .recipients import RecipientsForm

ONE_LINE_MAX = 250


def connections_by_mode() -> dict[bool, StripeConnection]:
    """The connections that new requests can be sent with: live under True, test under False."""
    ready = StripeConnection.objects.ready()
    return {connection.livemode: connection for connection in ready}


def chargeable(connection: StripeConnection) -> set[str]:
    """What the account can charge; every currency of ours while Stripe has not said."""
    return CURRENCIES.keys() & set(connection.currencies) or set(CURRENCIES)


def account_name(connection: StripeConnection) -> str:
    """The account as editors know it."""
    return connection.account_name or connection.account_id


class BillingRequestForm(EndsForm, RecipientsForm):
    """Asks for what the product specification asks for; site, status and account are not here.

    ``connections`` are those that can be used now. With one of them the mode is shown and cannot
    be chosen; what was shown is sent along and compared, so that a form from before a connection
    changed is not sent in the other mode.

    With a doubt that nobody has confirmed it is not valid; ``doubts`` are the boxes to show.
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
        max_length=LONGEST_AMOUNT,
        widget=forms.TextInput(
            # By this field Wagtail's w-swap, which has the amount said back, finds the form.
            attrs={"inputmode": "decimal", "autocomplete": "off", "data-w-swap-target": "input"}
        ),
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
    language = forms.ChoiceField(
        label=gettext_lazy("Language of the client"),
        required=False,
        help_text=gettext_lazy("Of the e-mails and of the payment page."),
    )
    link_lifetime = LifetimeField(label=gettext_lazy("Link valid for"), required=False)

    # Asked for less often, and folded away.
    MORE = (*RecipientsForm.COPIES, *EndsForm.ENDS, "language", "link_lifetime")

    def __init__(
        self,
        *args: Any,
        user: Any,
        site: Site | None = None,
        connections: dict[bool, StripeConnection],
        earlier: BillingRequest | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("auto_id", "wcb-request-%s")
        super().__init__(*args, **kwargs)
        self.for_site = site
        self.earlier = earlier
        self.connections = connections
        self.doubts: list[Doubt] = []
        sites = sites_for(user, "add")
        site_field = cast(forms.ModelChoiceField, self.fields["site"])
        site_field.queryset = sites
        if site is not None:
            site_field.initial = site
            site_field.required = False
            site_field.widget = site_field.hidden_widget()
        self._offer_billing_types()
        self._prefill(site)
        self._show_mode()

    def _offer_billing_types(self) -> None:
        """Those that can be charged with one of the accounts, and why with one of them they cannot."""
        kinds = list(BillingRequest.BillingType)
        why_not = {
            mode: why_not_recurring(c.missing_rights) for mode, c in self.connections.items()
        }
        if why_not and all(why_not.values()):
            kinds = [BillingRequest.BillingType.ONE_TIME]
        field = cast(forms.ChoiceField, self.fields["billing_type"])
        field.choices = [(kind.value, kind.label) for kind in kinds]
        # Of the live account first, which is the one that is meant for clients.
        field.help_text = why_not.get(True) or why_not.get(False) or ""

    def _prefill(self, site: Site | None) -> None:
        connection = self.connections.get(True) or self.connections.get(False)
        defaults = SiteBillingSettings.current(site)
        currency = (defaults and defaults.currency) or (connection and connection.default_currency)
        self.known_emails = defaults.emails if defaults else []
        lifetime = (defaults and defaults.link_lifetime) or billing_settings.link_lifetime
        speaks = (defaults and defaults.language) or settings.LANGUAGE_CODE
        known = {
            # With several it is a choice: the wrong one would get somebody else's bill.
            "email": self.known_emails[0] if len(self.known_emails) == 1 else "",
            "currency": (currency or "").upper(),
            "success_url": defaults.success_url if defaults else "",
            "cancel_url": defaults.cancel_url if defaults else "",
            "language": self._offer_languages(speaks),
            "link_lifetime": lifetime,
        }
        for name, value in known.items():
            self.fields[name].initial = value
        self.fields["email"].widget.attrs["list"] = self.emails_id
        self.fields["amount"].widget.attrs["placeholder"] = amount_example()
        offered = set().union(*(chargeable(each) for each in self.connections.values()))
        cast(CurrencyField, self.fields["currency"]).offer(offered)
        text = _("From when it is sent. Leave blank for %(lifetime)s.")
        self.fields["link_lifetime"].help_text = text % {"lifetime": lifetime_text(lifetime)}

    def _offer_languages(self, wanted: str) -> str:
        """Puts this language, or the one nearest to it, first, and returns it."""
        languages = client_language_choices()
        codes = [code for code, _name in languages]
        nearest = (code for code in (wanted, wanted.split("-")[0], *codes) if code in codes)
        first = next(nearest, "")
        languages.sort(key=lambda choice: choice[0] != first)
        cast(forms.ChoiceField, self.fields["language"]).choices = languages
        return first

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
        return read_amount(self.cleaned_data["amount"])

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
        if "test_mode" in data and "currency" in data:
            self._check_currency(data["currency"])
        if "test_mode" in data and data.get("accounts"):
            self._check_account(data["accounts"].split())
        if "test_mode" in data and "billing_type" in data:
            self._check_billing_type(data["billing_type"])
        self.check_end(self.for_site or data.get("site"))
        self.check_recipients()
        if not self.errors:
            self._look_for_doubts(data)
        return data

    def _look_for_doubts(self, data: dict[str, Any]) -> None:
        asked = Asked(
            typed=self.typed("amount"),
            amount_minor=data["amount_minor"],
            currency=data["currency"],
            email=data["email"],
            site=self.for_site or data["site"],
            livemode=self.connection.livemode,
            once=data.get("once"),
        )
        found = [*doubts_about(asked)]
        if self.earlier is not None:
            found += doubts_about_earlier(self.earlier)
        self.doubts = [doubt.answered_by(self.data) for doubt in found]
        if not all(doubt.confirmed for doubt in self.doubts):
            text = _("Nothing was sent yet. Please look at this once more.")
            self.add_error(None, ValidationError(text, code="unconfirmed"))

    def _check_currency(self, code: str) -> None:
        if code not in chargeable(self.connection):
            text = _("The account %(account)s cannot charge %(currency)s.")
            facts = {"account": account_name(self.connection), "currency": code}
            self.add_error("currency", ValidationError(text % facts, code="not_chargeable"))

    def _check_billing_type(self, kind: str) -> None:
        why_not = why_not_recurring(self.connection.missing_rights)
        if why_not and kind != BillingRequest.BillingType.ONE_TIME:
            self.add_error("billing_type", ValidationError(why_not, code="missing_right"))

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
        try:
            self.cleaned_data["amount_minor"] = minor_units(amount, code)
        except ValidationError as error:
            self.add_error("amount", error)

    def typed(self, name: str) -> str:
        """What a field shows, as text."""
        return str(self[name].value() or "")

    @property
    def said_back(self) -> dict[str, str]:
        """What is said back of the amount that the form shows."""
        return said_back(self.typed("amount"), self.typed("currency"), self.typed("billing_type"))

    @property
    def emails_id(self) -> str:
        """The id of the list of addresses that the e-mail field offers."""
        return str(self.auto_id) % "emails"

    @property
    def said_back_id(self) -> str:
        """The id of where the amount is said back."""
        return str(self.auto_id) % "said-back"

    @property
    def more_open(self) -> bool:
        """Whether something that is folded away needs to be seen."""
        return any(name in self.errors for name in self.MORE) or any(
            self[name].value() for name in (*self.COPIES, *self.ENDS)
        )

    @property
    def connection(self) -> StripeConnection:
        """The connection of the chosen mode; ask after the form was found valid."""
        return self.connections[not self.cleaned_data["test_mode"]]
