"""The form behind $ Create Client Billing Account."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from wagtail.admin.widgets import SwitchInput

from ..conf import billing_settings
from ..models import StripeConnection
from .fields import CountryField, WebAddressField, refuse_bad_addresses

# Beyond any key that Stripe makes.
KEY_MAX = 255


Flow = StripeConnection.Flow
WORDS: dict[str, Any] = {
    Flow.RESTRICTED_KEY: _("Paste a key of your Stripe account"),
    Flow.CONNECT: _("Open a new Stripe account"),
    Flow.OAUTH: _("Log in to a Stripe account that you have"),
}


def offered_flows() -> list[str]:
    """The ways to connect that the operator has enabled, the default first."""
    known = [flow for flow in billing_settings.CONNECT_FLOWS if flow in WORDS]
    return known or [Flow.RESTRICTED_KEY]


class ConnectForm(forms.Form):
    """What connecting a Stripe account takes. The key is taken in and never shown again."""

    test_mode = forms.BooleanField(
        label=_("Test mode"),
        required=False,
        widget=SwitchInput,
        help_text=_("Try everything out with test cards. No real money moves."),
    )
    country = CountryField(
        label=_("Country"),
        empty=_("Choose…"),
        help_text=_("Where your agency's Stripe account is."),
    )
    privacy_policy_url = WebAddressField(
        label=_("Privacy policy URL"), help_text=_("Shown to your clients before they pay.")
    )
    terms_url = WebAddressField(
        label=_("Terms of service URL"), help_text=_("Shown to your clients before they pay.")
    )
    key = forms.CharField(
        label=_("Restricted key"),
        max_length=KEY_MAX,
        required=False,
        widget=forms.PasswordInput(
            render_value=False,
            attrs={"autocomplete": "off", "spellcheck": "false", "data-1p-ignore": ""},
        ),
        help_text=_("Starts with rk_. It is stored encrypted and never shown again."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", "wcb-connect-%s")
        super().__init__(*args, **kwargs)
        self.flows = offered_flows()
        if len(self.flows) > 1:
            self.fields["flow"] = forms.ChoiceField(
                label=_("How to connect"),
                choices=[(flow, WORDS[flow]) for flow in self.flows],
                initial=self.flows[0],
                widget=forms.RadioSelect,
            )
            self.fields["key"].help_text = _(
                "Only for pasting a key. Starts with rk_. It is stored encrypted and never shown "
                "again."
            )
        if Flow.RESTRICTED_KEY not in self.flows:
            del self.fields["key"]

    @property
    def chosen_flow(self) -> str:
        """The way to connect that was chosen, or the only one."""
        return str(self.cleaned_data.get("flow") or self.flows[0])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        with_key = "flow" not in self.errors and self.chosen_flow == Flow.RESTRICTED_KEY
        if with_key and not data.get("key") and "key" not in self.errors:
            self.add_error("key", forms.Field.default_error_messages["required"])
        refuse_bad_addresses(
            self, ("privacy_policy_url", "terms_url"), test_mode=bool(data.get("test_mode"))
        )
        return data

    def refuse(self, field: str, sentence: str) -> None:
        """Puts what connecting said beside the field that it is about."""
        name = {"livemode": "test_mode"}.get(field, field)
        self.add_error(name if name in self.fields else None, sentence)

    def ask_for_key_again(self) -> None:
        """Says why the key field is empty although a key had been typed."""
        if self.data.get("key") and "key" in self.fields and "key" not in self.errors:
            self.add_error("key", _("Enter the key again: it is not sent back to this page."))
