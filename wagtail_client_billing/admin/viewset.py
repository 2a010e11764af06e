"""Invoices, and every other admin view of ours under the same namespace."""

from typing import Any

from django.db import transaction
from django.urls import path
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from wagtail.admin.admin_url_finder import ModelAdminURLFinder, register_admin_url_finder
from wagtail.admin.viewsets.model import ModelViewSet

from ..models import BillingRequest
from ..permissions import request_policy, requests_for
from . import acting, changing, creating, exports, jobs, own, said_back
from .account_urls import account_patterns
from .detail import DetailView
from .filters import RequestFilterSet
from .gate import all_behind_gate
from .listing import IndexView
from .message_pages import message_patterns
from .money_urls import money_patterns
from .report import report_patterns
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
    search_fields = ["email", "number", "description"]
    search_backend_name = None
    list_export = list(exports.COLUMNS)
    export_headings = exports.COLUMNS
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
            path("said-back/", said_back.SaidBackView.as_view(), name="said_back"),
            path("new/", creating.AddView.as_view(), name="add"),
            path("<int:pk>/", own.own_page_for_clients(DetailView.as_view()), name="inspect"),
            path("<int:pk>/again/", creating.SendAgainView.as_view(), name="send_again"),
            path("<int:pk>/resend/", acting.ResendView.as_view(), name="resend"),
            path("<int:pk>/remind/", acting.RemindView.as_view(), name="remind"),
            path("<int:pk>/check/", outside(acting.CheckView.as_view()), name="check"),
            path("<int:pk>/delete/", outside(acting.DeleteView.as_view()), name="delete"),
            path("<int:pk>/edit/", outside(changing.EditView.as_view()), name="edit"),
            path("<int:pk>/renew/", changing.RenewView.as_view(), name="renew"),
            path("<int:pk>/paid/", outside(changing.MarkPaidView.as_view()), name="mark_paid"),
            path("<int:pk>/take-back/", changing.TakeBackView.as_view(), name="take_back"),
            *money_patterns(),
            *own.own_patterns(),
            *jobs.job_patterns(),
            *account_patterns(),
            *message_patterns(),
            *report_patterns(),
        ]
        return all_behind_gate(patterns)


billing_request_viewset = BillingRequestViewSet()
