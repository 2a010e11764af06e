"""Invoices: every billing request that the user works on, of all sites."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from wagtail.admin.ui.tables import BaseColumn, Table
from wagtail.admin.widgets.button import HeaderButton

from ..models import BillingRequest
from ..permissions import may, requests_worked_on_by, sites_for, works_on
from .bulk import actions_for
from .exports import ExportMixin
from .filters import RequestFilterSet
from .jobs import job_notices
from .notices import notices_for
from .own import own_button
from .searching import SearchedList
from .tables import LinksOfAPage, request_columns
from .totals import totals_of
from .urls import admin_url, site_settings_url


class IndexView(ExportMixin, SearchedList):
    """The agency-wide list."""

    page_title = _("Invoices")
    template_name = "wagtail_client_billing/admin/index.html"
    results_template_name = "wagtail_client_billing/admin/index_results.html"
    filterset_class = RequestFilterSet

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        # A client's own login: their bills are shown to them in another way.
        if may(request.user, "view") and not works_on(request.user):
            name = "own_results" if self.results_only else "own"
            return HttpResponseRedirect(admin_url(name))
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.is_export:
            return self.as_spreadsheet(self.get_queryset(), request.GET["export"])
        return super().get(request, *args, **kwargs)

    def get_base_queryset(self) -> QuerySet[BillingRequest]:
        return requests_worked_on_by(self.request.user).with_facts().select_related("site")

    @cached_property
    def bulk_actions(self) -> list[Any]:
        return actions_for(self.request.user)

    @cached_property
    def links(self) -> LinksOfAPage:
        return LinksOfAPage()

    @cached_property
    def columns(self) -> list[BaseColumn]:
        return request_columns(
            self.request.user,
            with_site=True,
            selectable=bool(self.bulk_actions),
            links=self.links,
        )

    def get_table(self, object_list: Any) -> Table:
        self.links.load(object_list)
        return super().get_table(object_list)

    @cached_property
    def header_buttons(self) -> list[Any]:
        buttons = own_button(self.request.user)
        if may(self.request.user, "add"):
            add = HeaderButton(_("Add Billing Request"), url=admin_url("add"), icon_name="plus")
            buttons = [add, *buttons]
        return buttons

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)
        context["totals"] = totals_of(self.object_list)
        context["bulk_actions"] = self.bulk_actions
        if not self.results_only:
            context["notices"] = [*job_notices(self.request.user), *notices_for(self.request)]
        if not context["object_list"]:
            first = sites_for(self.request.user, "add").first()
            context["where_to_add"] = site_settings_url(first) if first else ""
        return context


def listed(request: Any) -> QuerySet[BillingRequest] | None:
    """What Invoices lists for the query string of this request, on all pages.

    None if it cannot be understood: an action on "all that is listed" must never reach further
    than what somebody sees.
    """
    view = IndexView()
    view.setup(request)
    filters, search = view.filters, view.search_form
    if (filters and not filters.is_valid()) or (search.is_bound and not search.is_valid()):
        return None
    return view.get_queryset()
