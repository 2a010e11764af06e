"""Who gets a request's e-mails besides the client: copies, and one that nobody sees."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .fields import is_email

MOST_COPIES = 10
# As many characters as the request keeps of them.
LONGEST_COPIES = 2000
SHOWN = 60
BETWEEN = re.compile(r"[\s,;]+")


class AddressesField(forms.CharField):
    """Several e-mail addresses, however they are set apart; cleaned to a list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=LONGEST_COPIES, required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) or value is None else ", ".join(value)

    def clean(self, value: Any) -> Any:
        addresses = [each for each in BETWEEN.split(super().clean(value)) if each]
        for each in addresses:
            if not is_email(each):
                text = _("“%(address)s” is not an e-mail address.") % {"address": each[:SHOWN]}
                raise ValidationError(text, code="invalid")
        if len(addresses) > MOST_COPIES:
            text = _("Enter at most %(most)d addresses.") % {"most": MOST_COPIES}
            raise ValidationError(text, code="too_many")
        return addresses


class RecipientsForm(forms.Form):
    """The two fields, for a form that has the client's address as ``email``."""

    cc = AddressesField(
        label=gettext_lazy("CC"),
        help_text=gettext_lazy(
            "They get the same e-mails, with the payment link, and everybody sees them. Put commas"
            " between several addresses."
        ),
    )
    bcc = forms.EmailField(
        label=gettext_lazy("BCC"),
        max_length=254,
        required=False,
        help_text=gettext_lazy("One address that gets the same e-mails and that nobody sees."),
    )

    COPIES = ("cc", "bcc")

    def check_recipients(self) -> None:
        """Puts addresses that are there twice beside the field of the second."""
        data = self.cleaned_data
        known = {str(data.get("email") or "").lower()}
        given = [("cc", each) for each in data.get("cc") or []]
        if data.get("bcc"):
            given.append(("bcc", data["bcc"]))
        for name, address in given:
            if address.lower() in known and not self.has_error(name, "twice"):
                text = _("%(address)s would get it twice.") % {"address": address}
                self.add_error(name, ValidationError(text, code="twice"))
            known.add(address.lower())
