"""The list as a spreadsheet: every row of all pages, and no cell that computes anything.

Rows go from the database into the file in portions, so that ten thousand of them need no more
memory than a hundred.
"""

import re
import tempfile
from collections.abc import Iterator
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import FileResponse
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy, override, pgettext_lazy
from django.utils.translation import gettext as _
from wagtail.admin.views.mixins import SpreadsheetExportMixin

from ..models import BillingRequest, Payment, Subscription
from ..money import MoneyError, from_minor
from .badges import badges_of
from .formats import money_text

PORTION = 500
# A small workbook stays in memory, a larger one is written to a temporary file.
IN_MEMORY = 1024 * 1024

COLUMNS: dict[str, Any] = {
    "number": pgettext_lazy("billing request", "Number"),
    "email": gettext_lazy("Client"),
    "site_name": gettext_lazy("Site"),
    "amount": gettext_lazy("Amount"),
    "currency": gettext_lazy("Currency"),
    "description": gettext_lazy("Description"),
    "billing_type": gettext_lazy("Billing type"),
    "status": gettext_lazy("Status"),
    "badges": gettext_lazy("Badges"),
    "livemode": gettext_lazy("Live mode"),
    "created_at": gettext_lazy("Created"),
    "sent_at": gettext_lazy("Sent"),
    "expires_at": gettext_lazy("Expires"),
    "paid_at": gettext_lazy("Paid"),
    "paid_with": gettext_lazy("Paid with"),
    "refunded": gettext_lazy("Refunded"),
    "subscription": gettext_lazy("Subscription"),
}

# What makes a spreadsheet take text for a formula: these marks, also in their full-width form, and
# control characters; also behind what some spreadsheets trim, such as marks that cannot be seen.
_FORMULA = re.compile(
    r"^[\s\x00-\x1f\x7f-\xa0\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*"
    r"[=+\-@\uff1d\uff0b\uff0d\uff20\x00-\x1f]"
)
# What XML cannot hold; openpyxl refuses most of it by an exception.
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def formula_safe(value: Any) -> str:
    """Text that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def cell_text(value: Any) -> str:
    """The same without the characters that a workbook cannot hold."""
    return _NOT_IN_XML.sub("", formula_safe(value))


class ExportMixin(SpreadsheetExportMixin):
    """Wagtail's export with our columns, one portion of rows after the other."""

    list_export = list(COLUMNS)
    export_headings = COLUMNS
    export_filename = "client-billing"
    custom_value_preprocess = {
        **SpreadsheetExportMixin.custom_value_preprocess,
        str: {"csv": formula_safe, "xlsx": cell_text},
    }

    def rows_to_export(self, queryset: QuerySet[BillingRequest]) -> Iterator[BillingRequest]:
        """The rows with what only a spreadsheet shows of them."""
        newest = Payment.objects.counted().filter(request=OuterRef("pk"))
        newest = newest.order_by("-received_at", "-pk")
        return (
            queryset.select_related(None)
            .annotate(
                paid_by=Subquery(newest.values("method")[:1]),
                paid_last4=Subquery(newest.values("last4")[:1]),
                paid_kind=Subquery(newest.values("kind")[:1]),
            )
            .iterator(chunk_size=PORTION)
        )

    def get_heading(self, queryset: Any, field: str) -> str:
        return str(COLUMNS[field])

    def to_row_dict(self, item: Any) -> dict[str, Any]:
        return {
            "number": item.number,
            "email": item.email,
            "site_name": item.site_name,
            "amount": _money(item.amount_minor, item.currency),
            "currency": item.currency,
            "description": item.description,
            "billing_type": str(item.get_billing_type_display()),
            "status": str(item.get_status_display()),
            "badges": ", ".join(badge.label for badge in badges_of(item)),
            "livemode": item.livemode,
            "created_at": item.created_at,
            "sent_at": item.sent_at,
            "expires_at": item.expires_at,
            "paid_at": item.paid_at,
            "paid_with": _paid_with(item),
            "refunded": _money(item.refunded_sum, item.currency) if item.refunded_sum else "",
            "subscription": _subscription(item),
        }

    def stream_csv(self, queryset: QuerySet[BillingRequest]) -> Iterator[bytes]:
        # Streamed when the view is over, and Wagtail has put its reader's language away again.
        code, zone = get_language() or "", timezone.get_current_timezone()
        lines = super().stream_csv(Rows(queryset.model, self.rows_to_export(queryset)))

        def in_their_words() -> Iterator[bytes]:
            while True:
                with override(code), timezone.override(zone):
                    line = next(lines, None)
                if line is None:
                    return
                yield line

        return in_their_words()

    def write_xlsx_response(self, queryset: QuerySet[BillingRequest]) -> FileResponse:
        # Closed by Django at the end of the response.
        output = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self.write_xlsx(Rows(queryset.model, self.rows_to_export(queryset)), output)
        output.seek(0)
        return FileResponse(
            output,
            as_attachment=True,
            content_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            filename=f"{self.get_filename()}.xlsx",
        )


class Rows:
    """What Wagtail's writers ask of a queryset: its model, and its rows, once."""

    def __init__(self, model: type, rows: Iterator[Any]) -> None:
        self.model = model
        self._rows = rows

    def __iter__(self) -> Iterator[Any]:
        return self._rows


def _money(minor: int, currency: str) -> Any:
    try:
        return from_minor(minor, currency)
    except MoneyError:
        return money_text(minor, currency)


def _subscription(request: Any) -> str:
    """The state of the newest subscription, in words."""
    status = request.subscription_status
    return str(dict(Subscription.Status.choices).get(status, status)) if status else ""


def _paid_with(request: Any) -> str:
    """How it was paid: "Card 4242", or by whom it was said."""
    if request.paid_kind == Payment.Kind.BY_HAND:
        return str(Payment.Kind.BY_HAND.label)
    if not request.paid_by:
        return ""
    if request.paid_last4:
        words = {"method": request.paid_by.capitalize(), "last4": request.paid_last4}
        return _("%(method)s ending %(last4)s") % words
    return str(request.paid_by).capitalize()
