"""Invoices: every billing request that the user may see, of all sites."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from wagtail.admin.filters import WagtailFilterSet
from wagtail.admin.ui.tables import Column
from wagtail.admin.views import generic
from wagtail.admin.widgets.button import HeaderButton

from ..models import BillingRequest
from ..money import from_minor
from ..permissions import ACTIONS, may, requests_for, sites_for
from .notices import notices_for
from .tables import request_columns
from .urls import admin_url, site_settings_url

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")


class RequestFilterSet(WagtailFilterSet):
    """Filters by status, mode and site; only sites that the user may see are offered."""

    status = django_filters.ChoiceFilter(label=_("Status"), choices=BillingRequest.Status.choices)
    livemode = django_filters.ChoiceFilter(
        label=_("Mode"),
        choices=[("True", pgettext_lazy("Stripe mode", "Live")), ("False", _("Test"))],
    )
    site = django_filters.ModelChoiceFilter(
        label=_("Site"), queryset=lambda request: sites_for(request.user)
    )

    class Meta:
        model = BillingRequest
        fields = ["status", "livemode", "site"]


def formula_safe(value: Any) -> str:
    """Text that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


class IndexView(generic.IndexView):
    """The agency-wide list."""

    any_permission_required = list(ACTIONS)
    page_title = _("Invoices")
    template_name = "wagtail_client_billing/admin/index.html"
    results_template_name = "wagtail_client_billing/admin/index_results.html"
    custom_field_preprocess = {
        name: {"csv": formula_safe, "xlsx": formula_safe}
        for name in ("number", "email", "site_name", "description")
    }

    def get_base_queryset(self) -> QuerySet[BillingRequest]:
        return requests_for(self.request.user).with_facts().select_related("site")

    @cached_property
    def columns(self) -> list[Column]:
        return request_columns(self.request.user, with_site=True)

    def get_page_title(self) -> str:
        return str(self.page_title)

    @cached_property
    def header_buttons(self) -> list[Any]:
        if not may(self.request.user, "add"):
            return []
        return [HeaderButton(_("Add Billing Request"), url=admin_url("add"), icon_name="plus")]

    def to_row_dict(self, item: BillingRequest) -> dict[str, Any]:
        row = super().to_row_dict(item)
        row["amount_minor"] = from_minor(item.amount_minor, item.currency)
        return row

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)
        first = sites_for(self.request.user, "add").first()
        context["notices"] = notices_for(self.request)
        context["where_to_add"] = site_settings_url(first) if first else ""
        return context
