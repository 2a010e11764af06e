"""Reports → Client billing: what came in each month, what is still to come, and from which sites."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from babel.dates import format_interval, format_skeleton
from babel.numbers import get_currency_name
from babel.units import format_unit
from django.core.exceptions import PermissionDenied
from django.urls import path
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext
from wagtail.admin.menu import MenuItem
from wagtail.admin.ui.tables import Column, Table
from wagtail.admin.views.mixins import SpreadsheetExportMixin

from ..models.billing import BillingRequestQuerySet
from ..money import MoneyError, from_minor
from ..permissions import requests_worked_on_by, sites_for, works_on
from .chart import bar_chart
from .exports import cell_text, formula_safe
from .formats import babel_locale, language, money_text
from .pages import BillingPage
from .report_form import LIVE, TEST, ReportForm
from .statistics import InCurrency, Statistics, statistics
from .urls import admin_url, site_settings_url

TENTH_OF_A_DAY = timedelta(minutes=144)


def report_patterns() -> list[Any]:
    """The report's address, below the viewset's prefix."""
    return [path("report/", ReportView.as_view(), name="report")]


class ReportMenuItem(MenuItem):
    """The entry under Reports, for those who bill."""

    def is_shown(self, request: Any) -> bool:
        return works_on(request.user)


def report_menu_item() -> MenuItem:
    """Made once for all languages."""
    return ReportMenuItem(
        gettext_lazy("Client billing"),
        admin_url("report"),
        name="client-billing-report",
        icon_name="wcb-invoice",
        order=1300,
    )


class CurrencyPart:
    """One currency's part of the report, as the page shows it."""

    def __init__(self, numbers: InCurrency, *, livemode: bool) -> None:
        self.numbers = numbers
        self.livemode = livemode
        self.code = numbers.code
        self.name = get_currency_name(numbers.code, locale=babel_locale(language()))

    def money(self, minor: int) -> str:
        return money_text(minor, self.code)

    @cached_property
    def received(self) -> str:
        return self.money(self.numbers.revenue)

    @cached_property
    def outstanding(self) -> str:
        count = self.numbers.outstanding_requests
        if not count:
            return self.money(0)
        text = ngettext(
            "%(amount)s in %(count)s request", "%(amount)s in %(count)s requests", count
        )
        return text % {"amount": self.money(self.numbers.outstanding), "count": count}

    @cached_property
    def months(self) -> list[tuple[str, int]]:
        return [(month_name(month), revenue) for month, revenue in self.numbers.months.items()]

    @cached_property
    def chart(self) -> Any:
        return bar_chart(self.months, self.money)

    @cached_property
    def months_table(self) -> Table:
        return self._table(_("Month"), self.months, _("Revenue per month, %(currency)s"))

    @cached_property
    def sites_table(self) -> Table:
        return self._table(_("Site"), list(self.sites()), _("Sites by revenue, %(currency)s"))

    def sites(self) -> Iterator[tuple[str, int]]:
        """The sites, the best one first, and the rest of them as one."""
        for site in self.numbers.sites:
            yield site.name, site.revenue
        others = self.numbers.all_sites - len(self.numbers.sites)
        if others > 0:
            text = ngettext("%(count)s other site", "%(count)s other sites", others)
            yield text % {"count": others}, self.numbers.rest

    def _table(self, what: str, rows: list[tuple[str, int]], caption: str) -> Table:
        columns = [
            Column("what", label=what),
            Column("revenue", label=_("Revenue"), classname="wcb-amount"),
        ]
        data = [{"what": name, "revenue": self.money(revenue)} for name, revenue in rows]
        return Table(columns, data, caption=caption % {"currency": self.code})

    def export_rows(self) -> Iterator[dict[str, Any]]:
        """The same numbers as rows of a spreadsheet."""
        mode = pgettext("Stripe mode", "Live") if self.livemode else _("Test")
        total = [("", self.numbers.revenue)]
        months = [(f"{month:%Y-%m}", sum_) for month, sum_ in self.numbers.months.items()]
        for kind, rows in ((_("Total"), total), (_("Month"), months), (_("Site"), self.sites())):
            for name, revenue in rows:
                yield {
                    "kind": kind,
                    "name": name,
                    "currency": self.code,
                    "revenue": amount_cell(revenue, self.code),
                    # Of today, and so of no month.
                    "outstanding": amount_cell(self.numbers.outstanding, self.code)
                    if rows is total
                    else "",
                    "mode": mode,
                }


class ReportView(SpreadsheetExportMixin, BillingPage):
    """The report, of those sites alone on which the user works."""

    http_method_names = ["get", "head", "options"]
    template_name = "wagtail_client_billing/admin/report.html"
    page_title = gettext_lazy("Client billing")
    list_export = ["kind", "name", "currency", "revenue", "outstanding", "mode"]
    export_headings = {
        "kind": gettext_lazy("Per"),
        "name": gettext_lazy("Month or site"),
        "currency": gettext_lazy("Currency"),
        "revenue": gettext_lazy("Revenue"),
        "outstanding": gettext_lazy("Outstanding now"),
        "mode": gettext_lazy("Mode"),
    }
    custom_field_preprocess = {"name": {"csv": formula_safe, "xlsx": cell_text}}

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        if not works_on(request.user):
            raise PermissionDenied
        self.form = ReportForm(request.GET, modes=self.modes)

    @cached_property
    def requests(self) -> BillingRequestQuerySet:
        return requests_worked_on_by(self.request.user)

    @cached_property
    def modes(self) -> list[str]:
        """The modes of which there is anything."""
        return [
            mode
            for mode, livemode in ((LIVE, True), (TEST, False))
            if self.requests.filter(livemode=livemode).exists()
        ]

    @property
    def livemode(self) -> bool:
        return self.form.chosen_mode == LIVE

    @cached_property
    def numbers(self) -> Statistics:
        return statistics(self.requests.filter(livemode=self.livemode), self.form.period)

    @cached_property
    def parts(self) -> list[CurrencyPart]:
        return [CurrencyPart(each, livemode=self.livemode) for each in self.numbers.currencies]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if self.is_export:
            rows = [row for part in self.parts for row in part.export_rows()]
            return self.as_spreadsheet(rows, request.GET["export"])
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        first = sites_for(self.request.user, "add").first() if not self.modes else None
        return super().get_context_data(
            form=self.form,
            anything=bool(self.modes),
            where_to_add=site_settings_url(first) if first else "",
            livemode=self.livemode,
            period=period_text(self.form.period.start, self.form.period.end),
            parts=self.parts,
            paid_requests=self.numbers.paid_requests,
            time_to_pay=days_text(self.numbers.time_to_pay),
            **kwargs,
        )

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [*self.breadcrumbs_items, {"url": "", "label": self.get_page_title()}]

    @cached_property
    def show_export_buttons(self) -> bool:
        return bool(self.parts)

    def get_export_url(self, format: str) -> str:
        # Of what is shown, which is not what was typed while that is wrong.
        period = self.form.period
        query = {
            "start": period.start.isoformat(),
            "end": period.end.isoformat(),
            "mode": self.form.chosen_mode,
            "export": format,
        }
        return f"{admin_url('report')}?{urlencode(query)}"

    def get_filename(self) -> str:
        period = self.form.period
        return f"client-billing-{period.start:%Y-%m-%d}-{period.end:%Y-%m-%d}"

    def to_row_dict(self, item: dict[str, Any]) -> dict[str, Any]:
        return item

    def stream_csv(self, queryset: list[dict[str, Any]]) -> Iterator[bytes]:
        # A page of rows, made now: when they are sent, the reader's language is no longer set.
        return iter(list(super().stream_csv(queryset)))


def month_name(month: date) -> str:
    return format_skeleton("yMMM", month, locale=babel_locale(language()))


def period_text(start: date, end: date) -> str:
    return format_interval(start, end, "yMMMd", locale=babel_locale(language()))


def days_text(taken: timedelta | None) -> str:
    """A time in days, to a tenth of one."""
    if taken is None:
        return ""
    tenths = max((taken + TENTH_OF_A_DAY / 2) // TENTH_OF_A_DAY, 0)
    # As an integer where it is one: of one day, and not of 1.0 days.
    days = Decimal(tenths).scaleb(-1) if tenths % 10 else tenths // 10
    return format_unit(days, "duration-day", length="long", locale=babel_locale(language()))


def amount_cell(minor: int, currency: str) -> Any:
    """An amount as a number for a spreadsheet; in minor units for a currency we do not know."""
    try:
        return from_minor(minor, currency)
    except MoneyError:
        return minor
