"""The forms of the pages about a connected account."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from .fields import SecretField, WebAddressField, refuse_bad_addresses

SIGNING_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]{8,240}")


class KeyForm(forms.Form):
    """Another key of the same account."""

    key = SecretField(
        label=gettext_lazy("Restricted key"),
        help_text=gettext_lazy("Starts with rk_. It is stored encrypted and never shown again."),
    )


class LegalPagesForm(forms.Form):
    """The two addresses that clients are shown before they pay."""

    privacy_policy_url = WebAddressField(label=gettext_lazy("Privacy policy URL"))
    terms_url = WebAddressField(label=gettext_lazy("Terms of service URL"))

    def __init__(self, *args: Any, livemode: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.livemode = livemode

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        refuse_bad_addresses(self, ("privacy_policy_url", "terms_url"), test_mode=not self.livemode)
        return data


class SigningSecretForm(forms.Form):
    """The secret with which Stripe signs what it delivers."""

    secret = SecretField(
        label=gettext_lazy("Signing secret"),
        help_text=gettext_lazy("Starts with whsec_. It is stored encrypted and never shown again."),
    )

    @sensitive_variables("secret")
    def clean_secret(self) -> str:
        secret: str = self.cleaned_data["secret"]
        if re.match(r"(rk|sk|pk)_", secret):
            raise ValidationError(
                _("This is an API key. The signing secret of the endpoint starts with whsec_.")
            )
        if secret.startswith("we_"):
            raise ValidationError(
                _("This is the endpoint's id. Press “Reveal” at Stripe to see its signing secret.")
            )
        if not SIGNING_SECRET.fullmatch(secret):
            raise ValidationError(_("This is not a signing secret. It starts with whsec_."))
        return secret
