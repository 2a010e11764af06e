"""What clients see who log in themselves: what they were asked for, what they paid, and no more.

Whoever may only *view* the requests of a site is its client. Nothing here tells how the agency
works: no names of its people, no deliveries, no doubts about a payment, no menus.
"""

from collections.abc import Callable
from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from wagtail.admin.filters import WagtailFilterSet
from wagtail.admin.ui.tables import BaseColumn, Column, Table, TitleColumn
from wagtail.admin.widgets.button import HeaderButton

from ..mail.receipts import TOLD
from ..models import BillingRequest, Payment
from ..models.billing import BillingRequestQuerySet
from ..permissions import request_policy, requests_for, sites_for, sites_worked_on_by, works_on
from .amounts import end_text
from .formats import amount_text, money_text
from .pages import BillingPage
from .payment_rows import Receipts, what_for
from .searching import SearchedList
from .tables import TEMPLATES, LinksOfAPage, MomentColumn, amount_column
from .urls import admin_url

Status = BillingRequest.Status


def own_requests(user: Any) -> BillingRequestQuerySet:
    """The requests that the user sees as a client does."""
    if _sees_all(user):
        return BillingRequest.objects.none()
    worked_on = sites_worked_on_by(user).order_by().values("pk")
    return requests_for(user).exclude(site__in=worked_on)


def own_button(user: Any) -> list[HeaderButton]:
    """The way to them, for somebody who bills for some sites and only sees those of others."""
    if _sees_all(user):
        return []
    worked_on = sites_worked_on_by(user).order_by().values("pk")
    if not sites_for(user).exclude(pk__in=worked_on).exists():
        return []
    return [HeaderButton(_("Invoices of other sites"), url=admin_url("own"), icon_name="globe")]


def _sees_all(user: Any) -> bool:
    return request_policy.user_has_global(user, ("view",))


def own_page_for_clients(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The page of a request for those who bill; its clients are led to theirs."""

    def shown(request: Any, pk: int) -> HttpResponse:
        try:
            return view(request, pk=pk)
        except Http404:
            if not own_requests(request.user).filter(pk=pk).exists():
                raise
        return HttpResponseRedirect(admin_url("own_detail", pk))

    return shown


class OwnStatusColumn(Column):
    """The status, and TEST where no real money moves."""

    cell_template_name = f"{TEMPLATES}/own_status_cell.html"


class ReceiptColumn(Column):
    """The public page of the request, where it is paid and where it says that it was."""

    cell_template_name = f"{TEMPLATES}/own_link_cell.html"

    def __init__(self, links: LinksOfAPage) -> None:
        super().__init__("receipt", label=gettext_lazy("Receipt"), classname="wcb-receipt")
        self.links = links

    def get_value(self, instance: BillingRequest) -> Any:
        return link_of(instance, self.links)


def link_of(request: BillingRequest, links: LinksOfAPage) -> tuple[str, str] | None:
    """Address and words of the link beside a request; none where its page has nothing to say."""
    if request.status == Status.PAID:
        return links.link(request), _("Receipt")
    if request.status == Status.PENDING and not request.is_over:
        return links.link(request), _("Payment page")
    return None


class OwnFilterSet(WagtailFilterSet):
    status = django_filters.ChoiceFilter(
        label=gettext_lazy("Status"),
        choices=Status.choices,
        empty_label=pgettext_lazy("filter", "All"),
        widget=forms.RadioSelect,
    )

    class Meta:
        model = BillingRequest
        fields = ["status"]


class OwnIndexView(SearchedList):
    """The list for clients."""

    page_title = gettext_lazy("Invoices")
    header_icon = "wcb-invoice"
    template_name = "wagtail_client_billing/admin/own.html"
    results_template_name = "wagtail_client_billing/admin/own_results.html"
    filterset_class = OwnFilterSet
    index_url_name = "client_billing_admin:own"
    index_results_url_name = "client_billing_admin:own_results"
    paginate_by = 20
    permission_policy = request_policy
    searches_emails = False
    # No export, and nothing to add.
    show_export_buttons = False
    header_buttons: list[Any] = []

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.is_export = False

    def get_page_title(self) -> str:
        return str(_("Invoices of other sites") if works_on(self.request.user) else self.page_title)

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        if not works_on(self.request.user):
            return super().get_breadcrumbs_items()
        here = {"url": "", "label": self.get_page_title()}
        return [*self.breadcrumbs_items, {"url": admin_url("index"), "label": _("Invoices")}, here]

    def get_base_queryset(self) -> QuerySet[BillingRequest]:
        return own_requests(self.request.user).select_related("site")

    @cached_property
    def links(self) -> LinksOfAPage:
        return LinksOfAPage()

    @cached_property
    def columns(self) -> list[BaseColumn]:
        several = sites_for(self.request.user)[:2].count() > 1
        site = Column(
            "site_name", label=gettext_lazy("Site"), sort_key="site_name", classname="wcb-site"
        )
        return [
            TitleColumn(
                "number",
                label=pgettext_lazy("billing request", "Number"),
                sort_key="number",
                classname="wcb-number",
                get_url=lambda request: admin_url("own_detail", request.pk),
            ),
            *([site] if several else []),
            Column("description", label=gettext_lazy("What for"), classname="wcb-description"),
            amount_column("amount"),
            OwnStatusColumn("status", label=gettext_lazy("Status"), sort_key="status"),
            MomentColumn("created_at", label=gettext_lazy("Created"), sort_key="created_at"),
            ReceiptColumn(self.links),
        ]

    def get_table(self, object_list: Any) -> Table:
        self.links.load(object_list)
        return super().get_table(object_list)


class OwnDetailView(BillingPage):
    """One request, as its client sees it."""

    template_name = "wagtail_client_billing/admin/own_detail.html"
    page_title = gettext_lazy("Invoice")
    http_method_names = ["get", "head", "options"]

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        reachable = own_requests(request.user).select_related("site")
        self.object = get_object_or_404(reachable, pk=kwargs["pk"])

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [
            *self.breadcrumbs_items,
            {"url": admin_url("own"), "label": _("Invoices")},
            {"url": "", "label": self.object.number},
        ]

    def get_page_subtitle(self) -> str:
        return self.object.number

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        payments = self.object.payments.filter(taken_back_at=None).prefetch_related("refunds")
        receipts = Receipts(self.object)
        return super().get_context_data(
            object=self.object,
            amount=amount_text(self.object),
            link=link_of(self.object, LinksOfAPage()),
            payments=[own_payment(self.object, each, receipts) for each in payments],
            ends=end_text(self.object),
            # Ours are for those who bill: they tell of keys and accounts.
            notices=[],
            **kwargs,
        )


def own_payment(request: BillingRequest, payment: Payment, receipts: Receipts) -> dict[str, Any]:
    """A payment as its client sees it: its receipt, and what they have back of it."""
    # As their receipt and their mails say: what Stripe has confirmed.
    refunded = sum(each.amount_minor for each in payment.refunds.all() if each.state in TOLD)
    return {
        "payment": payment,
        "amount": money_text(payment.amount_minor, payment.currency),
        "what_for": what_for(request, payment),
        "refunded": money_text(refunded, payment.currency) if refunded else "",
        "receipt_url": receipts.url(payment),
    }


def own_patterns() -> list[Any]:
    """The addresses of what clients see."""
    return [
        path("own/", OwnIndexView.as_view(), name="own"),
        path("own/results/", OwnIndexView.as_view(results_only=True), name="own_results"),
        path("own/<int:pk>/", OwnDetailView.as_view(), name="own_detail"),
    ]
