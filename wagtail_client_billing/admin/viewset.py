"""Invoices, and every other admin view of ours under the same namespace."""

from typing import Any

from django.db import transaction
from django.urls import path
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from wagtail.admin.admin_url_finder import ModelAdminURLFinder, register_admin_url_finder
from wagtail.admin.viewsets.model import ModelViewSet

from ..models import BillingRequest
from ..permissions import request_policy, requests_for
from . import acting, creating
from .account_urls import account_patterns
from .detail import DetailView
from .gate import all_behind_gate
from .listing import IndexView, RequestFilterSet
from .urls import NAMESPACE


class RequestURLFinder(ModelAdminURLFinder):
    """Leads Wagtail from a request to its page, for those who may see it."""

    edit_url_name = f"{NAMESPACE}:inspect"
    permission_policy = request_policy

    def get_edit_url(self, instance: BillingRequest) -> str | None:
        if self.user and not requests_for(self.user).filter(pk=instance.pk).exists():
            return None
        return self.construct_edit_url(instance)


class BillingRequestViewSet(ModelViewSet):
    """The agency-wide list.

    Wagtail's generic edit, usage, history, copy and delete views are left out: they ask for
    rights per model, not per object, and write what only lifecycle may write.
    """

    model = BillingRequest
    name = NAMESPACE
    url_prefix = "client-billing/invoices"
    icon = "wcb-invoice"
    menu_label = _("Invoices")
    menu_name = "client-billing-invoices"
    menu_order = 600
    add_to_admin_menu = True
    add_to_reference_index = False
    inspect_view_enabled = True
    copy_view_enabled = False
    form_fields: list[str] = []
    index_view_class = IndexView
    ordering = ["-created_at", "-pk"]
    list_per_page = 20
    search_fields = ["email", "number"]
    search_backend_name = None
    list_export = [
        "number",
        "email",
        "site_name",
        "amount_minor",
        "currency",
        "description",
        "get_status_display",
        "livemode",
        "created_at",
        "expires_at",
        "paid_at",
    ]
    export_headings = {
        "number": pgettext_lazy("billing request", "Number"),
        "email": _("Client"),
        "site_name": _("Site"),
        "amount_minor": _("Amount"),
        "currency": _("Currency"),
        "description": _("Description"),
        "get_status_display": _("Status"),
        "livemode": _("Live mode"),
        "created_at": _("Created"),
        "expires_at": _("Expires"),
        "paid_at": _("Paid"),
    }
    export_filename = "client-billing"
    filterset_class = RequestFilterSet

    @cached_property
    def permission_policy(self) -> Any:
        return request_policy

    def get_common_view_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        left_out = ("add", "edit", "delete", "history", "usage", "copy")
        return super().get_common_view_kwargs(
            **{**{f"{name}_url_name": None for name in left_out}, **kwargs}
        )

    def register_admin_url_finder(self) -> None:
        register_admin_url_finder(self.model, RequestURLFinder)

    def get_urlpatterns(self) -> list[Any]:
        outside = transaction.non_atomic_requests
        patterns = [
            path("", self.index_view, name="index"),
            path("results/", self.index_results_view, name="index_results"),
            path("new/", creating.AddView.as_view(), name="add"),
            path("<int:pk>/", DetailView.as_view(), name="inspect"),
            path("<int:pk>/again/", creating.SendAgainView.as_view(), name="send_again"),
            path("<int:pk>/resend/", acting.ResendView.as_view(), name="resend"),
            path("<int:pk>/check/", outside(acting.CheckView.as_view()), name="check"),
            path("<int:pk>/delete/", outside(acting.DeleteView.as_view()), name="delete"),
            *account_patterns(),
        ]
        return all_behind_gate(patterns)


billing_request_viewset = BillingRequestViewSet()
