"""Form fields that several of our forms share."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from wagtail.admin.widgets import SwitchInput

from ..money import currency_choices
from ..redirects import BadAddress, check_address
from .formats import country_choices, language


class WebAddressField(forms.CharField):
    """An https address; whether http is taken for this machine is the form's decision.

    Not Django's ``URLField``, which also takes ftp and user names, and completes what is typed.
    """

    widget = forms.URLInput

    def __init__(self, *, max_length: int = 500, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, **kwargs)


def refuse_bad_addresses(
    form: forms.BaseForm,
    names: Iterable[str],
    *,
    test_mode: bool,
    hosts: Iterable[str] | None = None,
) -> None:
    """Puts what ``check_address`` says about a form's addresses beside their fields."""
    for name in names:
        address = form.cleaned_data.get(name)
        if not address:
            continue
        try:
            check_address(address, test_mode=test_mode, hosts=hosts)
        except BadAddress as error:
            form.add_error(name, ValidationError(str(error), code="bad_address"))


class SecretField(forms.CharField):
    """A key or a secret: taken in, and never sent back to a page."""

    def __init__(self, **kwargs: Any) -> None:
        # Beyond any that Stripe makes.
        kwargs.setdefault("max_length", 255)
        attrs = {"autocomplete": "off", "spellcheck": "false", "data-1p-ignore": ""}
        super().__init__(widget=forms.PasswordInput(render_value=False, attrs=attrs), **kwargs)


class CurrencyField(forms.ChoiceField):
    """A currency, named in the editor's language, with the common ones first."""

    def __init__(self, *, empty: Any = "", **kwargs: Any) -> None:
        def choices() -> list[tuple[str, Any]]:
            return [("", empty), *currency_choices(language())]

        super().__init__(choices=choices, **kwargs)


class CountryField(forms.ChoiceField):
    """A country in which Stripe opens accounts, named in the editor's language."""

    def __init__(self, *, empty: Any = "", **kwargs: Any) -> None:
        def choices() -> list[tuple[str, Any]]:
            return [("", empty), *country_choices()]

        super().__init__(choices=choices, **kwargs)


class OneLineField(forms.CharField):
    """Text without line breaks or other control characters: it may end up in a mail's subject."""

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
            raise ValidationError(
                _("Line breaks and control characters are not allowed."),
                code="control_characters",
            )
        return text


class FixedSwitch(SwitchInput):
    """A switch that shows what is so and cannot be moved; sends what was shown.

    The server compares what was shown with what is so by then.
    """

    def render(
        self, name: str, value: Any, attrs: dict | None = None, renderer: Any = None
    ) -> SafeString:
        shown = super().render(
            f"{name}_shown", value, {**(attrs or {}), "disabled": True}, renderer
        )
        sent = "true" if self.check_test(value) else "false"
        return format_html('{}<input type="hidden" name="{}" value="{}">', shown, name, sent)
