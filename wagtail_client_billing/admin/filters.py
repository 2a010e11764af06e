"""What the list of invoices is narrowed down by, and what is searched in it."""

import re
import unicodedata
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import django_filters
from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from wagtail.admin.active_filters import (
    ActiveFilter,
    BaseFilterAdapter,
    register_filter_adapter_class,
)
from wagtail.admin.filters import WagtailFilterSet
from wagtail.models import Site

from ..models import BillingRequest
from ..money import CURRENCIES, MoneyError, parse_amount, to_minor
from ..permissions import requests_worked_on_by, sites_worked_on_by
from .badges import badge_choices, with_any_badge
from .formats import language

LONGEST = 200
# More currencies than that are not offered one by one.
MOST_CURRENCIES = 40


class WhichSite(NamedTuple):
    """A site that a link names, a part of a name that somebody typed, or both."""

    site: Site | None
    name: str


class SiteInput(forms.MultiWidget):
    """A field to type in. Which site a link named is kept beside it, hidden.

    A list of all sites to choose from would be as long as there are sites.
    """

    use_fieldset = False

    def __init__(self) -> None:
        widgets: dict[str, forms.Widget | type[forms.Widget]] = {
            "": forms.HiddenInput(),
            "name": forms.TextInput(attrs={"maxlength": LONGEST}),
        }
        super().__init__(widgets)

    def decompress(self, value: WhichSite | None) -> list[Any]:
        return [value.site and value.site.pk, value.name] if value else [None, None]

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_1" if id_ else ""


class SiteField(forms.MultiValueField):
    widget = SiteInput

    def __init__(self, **kwargs: Any) -> None:
        fields = (
            forms.ModelChoiceField(Site.objects.none(), required=False),
            forms.CharField(required=False, max_length=LONGEST),
        )
        super().__init__(fields, require_all_fields=False, **kwargs)

    def compress(self, data_list: list[Any]) -> WhichSite | None:
        return WhichSite(data_list[0], data_list[1] or "") if data_list else None


class SiteFilter(django_filters.Filter):
    """By the site that a link names (``site``), or by a part of its name or host name.

    Sites that the user does not work on do not exist here.
    """

    field_class = SiteField

    @property
    def field(self) -> forms.Field:
        field = super().field
        field.fields[0].queryset = sites_worked_on_by(self.parent.request.user)
        return field

    def filter(self, qs: Any, value: WhichSite | None) -> Any:
        if value is None:
            return qs
        if value.site:
            qs = qs.filter(site=value.site)
        if value.name:
            name = Q(site_name__icontains=value.name) | Q(site__site_name__icontains=value.name)
            qs = qs.filter(name | Q(site__hostname__icontains=value.name))
        return qs


class SiteAdapter(BaseFilterAdapter):
    def get_active_filters(self) -> Any:
        site, name = self.value
        for parameter, words in (
            ("", site and (site.site_name or site.hostname)),
            ("_name", name),
        ):
            if words:
                yield ActiveFilter(
                    self.bound_field.auto_id,
                    self.filter.label,
                    words,
                    self.get_url_without_filter_param(self.name + parameter),
                )


class BadgeFilter(django_filters.MultipleChoiceFilter):
    """Requests that show one of the chosen badges."""

    def filter(self, qs: Any, value: list[str]) -> Any:
        return qs.filter(with_any_badge(value)) if value else qs


class DayFilter(django_filters.DateFilter):
    """By a day in the time zone of whoever looks; ``after`` counts from its beginning."""

    def __init__(self, *, after: bool, **kwargs: Any) -> None:
        super().__init__(
            "created_at",
            # Not Wagtail's date picker, which needs an inline script.
            widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
            validators=[MinValueValidator(date(1970, 1, 1)), MaxValueValidator(date(2999, 12, 31))],
            **kwargs,
        )
        self.after = after

    def filter(self, qs: Any, value: date | None) -> Any:
        if value is None:
            return qs
        if self.after:
            return qs.filter(created_at__gte=_midnight(value))
        return qs.filter(created_at__lt=_midnight(value + timedelta(days=1)))


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


class DayAdapter(BaseFilterAdapter):
    def get_active_filters(self) -> Any:
        yield ActiveFilter(
            self.bound_field.auto_id,
            self.filter.label,
            date_format(self.value),
            self.get_url_without_filter_param(self.name),
        )


register_filter_adapter_class(SiteFilter, SiteAdapter)
register_filter_adapter_class(DayFilter, DayAdapter)


def _any(choices: Any, label: Any) -> django_filters.ChoiceFilter:
    return django_filters.ChoiceFilter(
        label=label,
        choices=choices,
        empty_label=pgettext_lazy("filter", "All"),
        widget=forms.RadioSelect,
    )


class RequestFilterSet(WagtailFilterSet):
    """The filters of Invoices, for those who bill; nothing of other people's sites is offered.

    What somebody asks for that is not there, in an address for instance, narrows nothing down.
    """

    status = _any(BillingRequest.Status.choices, _("Status"))
    badge = BadgeFilter(
        label=_("Badge"), choices=badge_choices(), widget=forms.CheckboxSelectMultiple
    )
    site = SiteFilter(label=_("Site"))
    livemode = _any(
        [("True", pgettext_lazy("Stripe mode", "Live")), ("False", _("Test"))], _("Mode")
    )
    currency = _any([], _("Currency"))
    billing_type = _any(BillingRequest.BillingType.choices, _("Billing type"))
    created_from = DayFilter(after=True, label=_("Created from"))
    created_to = DayFilter(after=False, label=_("Created to"))

    class Meta:
        model = BillingRequest
        fields = [
            "status",
            "badge",
            "site",
            "livemode",
            "currency",
            "billing_type",
            "created_from",
            "created_to",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        seen = requests_worked_on_by(self.request.user).order_by("currency")
        codes = seen.values_list("currency", flat=True).distinct()[:MOST_CURRENCIES]
        self.filters["currency"].extra["choices"] = [(code, code) for code in codes]


def search_condition(query: str, *, in_emails: bool = True) -> Q:
    """What somebody typed into the search: part of a client, a number or a text, or an amount."""
    query = query.strip()
    if len(query) > LONGEST:
        # Longer than anything that is searched, and than some databases compare with.
        return Q(pk__in=[])
    found = Q(number__icontains=query)
    if in_emails:
        found |= Q(email__icontains=query)
    return found | Q(description__icontains=query) | _amount_condition(query)


def _amount_condition(query: str) -> Q:
    """An amount as the reader writes it, in any currency or the one that is named beside it."""
    letters = "".join(re.findall(r"[A-Za-z]+", query)).upper()
    if letters and letters not in CURRENCIES:
        return Q()
    digits = "".join(
        character
        for character in query
        if not ("A" <= character.upper() <= "Z") and unicodedata.category(character) != "Sc"
    )
    amount = _typed(digits)
    if amount is None:
        return Q()
    by_minor: dict[int, list[str]] = {}
    for code in [letters] if letters else CURRENCIES:
        try:
            by_minor.setdefault(to_minor(amount, code), []).append(code)
        except MoneyError:
            continue
    found = Q()
    for minor, codes in by_minor.items():
        if 0 < minor < 2**63:
            found |= Q(amount_minor=minor, currency__in=codes)
    return found


def _typed(digits: str) -> Decimal | None:
    try:
        return parse_amount(digits, language())
    except MoneyError:
        pass
    # Copied from somewhere else than a page in the reader's language.
    plain = digits.strip()
    return Decimal(plain) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,3})?", plain) else None
