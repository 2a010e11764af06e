"""Form fields that several of our forms share."""

from collections.abc import Container, Iterable
from datetime import timedelta
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from wagtail.admin.widgets import SwitchInput

from ..models.billing import LONGEST_LIFETIME, SHORTEST_LIFETIME
from ..money import CURRENCIES, currency_choices
from ..redirects import BadAddress, check_address
from .formats import country_choices, language, lifetime_text


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


class LongSelect(forms.Select):
    """A list with choices that are longer than a phone is wide."""

    def __init__(self, attrs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__({"class": "wcb-long-choices", **(attrs or {})}, **kwargs)


class CurrencyField(forms.ChoiceField):
    """A currency, named in the editor's language, with the common ones first."""

    widget = LongSelect

    def __init__(self, *, empty: Any = "", **kwargs: Any) -> None:
        self.empty = empty
        super().__init__(**kwargs)
        self.offer(CURRENCIES)

    def offer(self, codes: Container[str]) -> None:
        """Leaves these to choose from."""

        def choices() -> list[tuple[str, Any]]:
            return [("", self.empty), *currency_choices(language(), codes)]

        self.choices = choices


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


class DayInput(forms.DateInput):
    """The browser's own calendar: Wagtail's writes a script into the page."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class TimeZoneField(forms.ChoiceField):
    """A time zone by the name that this machine's database has for it."""

    widget = LongSelect

    # Of the database itself, and of no place.
    LEFT_OUT = frozenset({"Factory", "localtime", "posixrules"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.offer_blank("")

    def offer_blank(self, words: str) -> None:
        """Says in these words what choosing none means."""
        names = sorted(available_timezones() - self.LEFT_OUT)
        self.choices = [("", words), *((name, name.replace("_", " ")) for name in names)]


class EmailsField(forms.CharField):
    """E-mail addresses, one a line; gives them back the same way, each once."""

    MOST = 20
    widget = forms.Textarea

    def __init__(self, *, max_length: int = 2000, **kwargs: Any) -> None:
        attrs = {"rows": 3, "spellcheck": "false", "autocapitalize": "none"}
        super().__init__(max_length=max_length, widget=forms.Textarea(attrs=attrs), **kwargs)

    def clean(self, value: Any) -> str:
        lines = [line.strip() for line in super().clean(value).splitlines()]
        # Whoever types an address twice, in whatever case, means one person.
        found: dict[str, str] = {}
        for line in filter(None, lines):
            found.setdefault(line.casefold(), line)
        emails = list(found.values())
        wrong = [email for email in emails if not is_email(email)]
        if wrong:
            raise ValidationError(
                [
                    _("“%(address)s” is not an e-mail address.") % {"address": email[:254]}
                    for email in wrong[:5]
                ],
                code="invalid",
            )
        if len(emails) > self.MOST:
            text = _("Enter at most %(most)d addresses.") % {"most": self.MOST}
            raise ValidationError(text, code="too_many")
        return "\n".join(emails)


def is_email(text: str) -> bool:
    """Whether it is one address, and no longer than the columns for one."""
    try:
        validate_email(text)
    except ValidationError:
        return False
    return len(text) <= 254


class LifetimeWidget(forms.MultiWidget):
    """A number, and whether hours or days are meant."""

    UNITS = (
        ("hours", pgettext_lazy("unit of time", "hours")),
        ("days", pgettext_lazy("unit of time", "days")),
    )

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        number = forms.NumberInput(
            attrs={
                "min": 1,
                "class": "wcb-lifetime__number",
                "aria-label": gettext_lazy("Number of hours or days"),
            }
        )
        unit = forms.Select(
            attrs={"class": "wcb-lifetime__unit", "aria-label": gettext_lazy("Hours or days")},
            choices=self.UNITS,
        )
        super().__init__({"number": number, "unit": unit}, attrs)

    def decompress(self, value: timedelta | None) -> list[Any]:
        hour = timedelta(hours=1)
        if not value or value % hour or not SHORTEST_LIFETIME <= value <= LONGEST_LIFETIME:
            # Only the installation's own lifetime can be such: left blank, it holds.
            return [None, "hours"]
        hours = value // hour
        # A day is the 24 hours that everybody speaks of.
        return [hours // 24, "days"] if hours % 24 == 0 and hours > 24 else [hours, "hours"]


class LifetimeField(forms.MultiValueField):
    """How long a link can be paid, within our bounds; None where nothing was typed."""

    widget = LifetimeWidget

    def __init__(self, **kwargs: Any) -> None:
        number = forms.IntegerField(min_value=1, required=False)
        unit = forms.ChoiceField(choices=LifetimeWidget.UNITS)
        super().__init__((number, unit), require_all_fields=False, **kwargs)

    def compress(self, values: list[Any]) -> timedelta | None:
        if not values or values[0] is None:
            return None
        number, unit = values
        # Before it becomes a length of time, which has an end.
        if number <= LONGEST_LIFETIME // timedelta(hours=1):
            lifetime = timedelta(**{unit: number})
            if SHORTEST_LIFETIME <= lifetime <= LONGEST_LIFETIME:
                return lifetime
        raise ValidationError(self.out_of_bounds(), code="lifetime")

    def out_of_bounds(self) -> str:
        """What is said of a time that is too short or too long."""
        text = _("A link lasts from %(shortest)s to %(longest)s.")
        bounds = {
            "shortest": lifetime_text(SHORTEST_LIFETIME),
            "longest": lifetime_text(LONGEST_LIFETIME),
        }
        return text % bounds


class ReminderField(LifetimeField):
    """How long before the end of a link its client is reminded; None is never."""

    def out_of_bounds(self) -> str:
        return _("Enter 1 hour or more, and 90 days at most.")


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
