"""The columns of the two lists of billing requests."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from wagtail.admin.ui.tables import ButtonsColumnMixin, Column, TitleColumn
from wagtail.admin.widgets.button import ButtonWithDropdown

from ..models import BillingRequest
from .actions import PaymentLinks, row_buttons
from .badges import badges_of
from .formats import amount_text, relative_text
from .urls import detail_url

TEMPLATES = "wagtail_client_billing/admin/tables"


class NumberColumn(ButtonsColumnMixin, TitleColumn):
    """The request's number, which leads to its page, with the row's menu."""

    def __init__(self, user: Any, links: PaymentLinks) -> None:
        super().__init__(
            "number",
            label=pgettext_lazy("billing request", "Number"),
            sort_key="number",
            classname="wcb-number",
            get_url=detail_url,
        )
        self.user = user
        self.links = links

    def get_buttons(self, instance: BillingRequest, parent_context: Any) -> list[Any]:
        return [
            ButtonWithDropdown(
                buttons=row_buttons(self.user, instance, self.links),
                icon_name="dots-horizontal",
                attrs={
                    "aria-label": _("More options for '%(title)s'") % {"title": instance.number}
                },
            )
        ]


class StatusColumn(Column):
    """The status as a dot and a word, with the badges beside it."""

    cell_template_name = f"{TEMPLATES}/status_cell.html"

    def get_cell_context_data(self, instance: BillingRequest, parent_context: Any) -> dict:
        context = super().get_cell_context_data(instance, parent_context)
        return {**context, "badges": badges_of(instance)}


class MomentColumn(Column):
    """How long ago or how soon, with the exact time behind it."""

    cell_template_name = f"{TEMPLATES}/moment_cell.html"

    def get_cell_context_data(self, instance: BillingRequest, parent_context: Any) -> dict:
        context = super().get_cell_context_data(instance, parent_context)
        moment = context["raw_value"]
        return {
            **context,
            "moment": moment,
            "text": relative_text(moment, short=True) if moment else "",
        }


def deadline(request: BillingRequest) -> Any:
    """The deadline, while it means something to whoever looks at the list."""
    return request.expires_at if request.status == BillingRequest.Status.PENDING else None


def request_columns(user: Any, *, with_site: bool, sortable: bool = True) -> list[Column]:
    """The columns of a list of requests."""

    def key(name: str) -> str | None:
        return name if sortable else None

    number = NumberColumn(user, PaymentLinks())
    number.sort_key = key("number")
    columns: list[Column] = [
        number,
        Column("email", label=gettext_lazy("Client"), sort_key=key("email"), classname="wcb-email"),
    ]
    if with_site:
        columns.append(
            Column(
                "site_name",
                label=gettext_lazy("Site"),
                sort_key=key("site_name"),
                classname="wcb-site",
            )
        )
    return [
        *columns,
        Column(
            "amount", label=gettext_lazy("Amount"), accessor=amount_text, classname="wcb-amount"
        ),
        StatusColumn(
            "status",
            label=gettext_lazy("Status"),
            accessor="get_status_display",
            sort_key=key("status"),
        ),
        MomentColumn("created_at", label=gettext_lazy("Created"), sort_key=key("created_at")),
        MomentColumn(
            "expires_at",
            label=gettext_lazy("Expires"),
            accessor=deadline,
            sort_key=key("expires_at"),
        ),
    ]
