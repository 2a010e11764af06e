"""The columns of the lists of billing requests."""

from collections.abc import Collection
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from wagtail.admin.ui.tables import (
    BaseColumn,
    BulkActionsCheckboxColumn,
    ButtonsColumnMixin,
    Column,
    TitleColumn,
)
from wagtail.admin.widgets.button import ButtonWithDropdown

from ..links import address_with, payment_link_at
from ..models import BillingRequest, SiteBillingSettings
from .actions import PaymentLinks, row_buttons
from .badges import badges_of
from .formats import amount_text, relative_text
from .money_actions import only_refundable
from .urls import detail_url

TEMPLATES = "wagtail_client_billing/admin/tables"


class LinksOfAPage(PaymentLinks):
    """The same of all rows of a page, which may be of as many sites, for a query each."""

    def __init__(self) -> None:
        super().__init__()
        self._addresses: dict[int | None, str] = {}
        self._refundable: dict[int, int] = {}

    def load(self, requests: Collection[BillingRequest]) -> None:
        """Learns the address of every site among them, and which payments can be refunded."""
        self._refundable = only_refundable(requests)
        sites = {request.site_id: request.site for request in requests}
        chosen = dict(
            SiteBillingSettings.objects.filter(site__in=[pk for pk in sites if pk]).values_list(
                "site_id", "billing_address"
            )
        )
        self._addresses = {pk: address_with(site, chosen.get(pk, "")) for pk, site in sites.items()}

    def link(self, request: BillingRequest) -> str:
        if request.site_id not in self._addresses:
            return super().link(request)
        return payment_link_at(self._addresses[request.site_id], request.token)

    def refundable(self, request: BillingRequest) -> int | None:
        return self._refundable.get(request.pk)


def title_id(request: BillingRequest) -> str:
    """The id of a row's number, by which a screen reader tells the row's checkbox from others."""
    return f"billingrequest_{request.pk}_title"


class NumberColumn(ButtonsColumnMixin, TitleColumn):
    """The request's number, which leads to its page, with the row's menu."""

    def __init__(self, user: Any, links: PaymentLinks) -> None:
        super().__init__(
            "number",
            label=pgettext_lazy("billing request", "Number"),
            sort_key="number",
            classname="wcb-number",
            get_url=detail_url,
            get_title_id=title_id,
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


class EmailColumn(Column):
    """An address, which is broken before its @ where it is longer than the column."""

    cell_template_name = f"{TEMPLATES}/email_cell.html"

    def get_cell_context_data(self, instance: BillingRequest, parent_context: Any) -> dict:
        context = super().get_cell_context_data(instance, parent_context)
        name, at, host = instance.email.rpartition("@")
        return {**context, "name": name, "host": f"{at}{host}"}


class RhythmColumn(Column):
    """The amount, and below it how often it is charged, if more than once."""

    cell_template_name = f"{TEMPLATES}/rhythm_cell.html"

    def get_value(self, instance: BillingRequest) -> str:
        return amount_text(instance)


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


def request_columns(
    user: Any,
    *,
    with_site: bool,
    sortable: bool = True,
    selectable: bool = False,
    links: PaymentLinks | None = None,
) -> list[BaseColumn]:
    """The columns of a list of requests; ``selectable`` for a list with bulk actions."""

    def key(name: str) -> str | None:
        return name if sortable else None

    number = NumberColumn(user, links or PaymentLinks())
    number.sort_key = key("number")
    columns: list[BaseColumn] = [
        number,
        EmailColumn(
            "email", label=gettext_lazy("Client"), sort_key=key("email"), classname="wcb-email"
        ),
    ]
    if selectable:
        columns.insert(0, BulkActionsCheckboxColumn("bulk_actions", obj_type="billingrequest"))
    if with_site:
        columns.append(
            Column(
                "site_name",
                label=gettext_lazy("Site"),
                sort_key=key("site_name"),
                classname="wcb-site",
            )
        )
        columns += [amount_column(key("amount")), type_column(key("billing_type"))]
    else:
        # The table of one site stands in a narrower place.
        columns.append(RhythmColumn("amount", label=gettext_lazy("Amount"), classname="wcb-amount"))
    return [
        *columns,
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


def type_column(sort_key: str | None) -> Column:
    """How often it is charged."""
    return Column(
        "billing_type",
        label=gettext_lazy("Type"),
        accessor="get_billing_type_display",
        sort_key=sort_key,
        classname="wcb-type",
    )


def amount_column(sort_key: str | None) -> Column:
    """The amount, sorted by currency first: amounts of two currencies do not compare."""
    return Column(
        "amount",
        label=gettext_lazy("Amount"),
        accessor=amount_text,
        sort_key=sort_key,
        classname="wcb-amount",
    )


# What a sort key means where it is no single field.
ORDERINGS = {
    "amount": ("currency", "amount_minor"),
    "-amount": ("currency", "-amount_minor"),
}


def ordered_by(ordering: str) -> tuple[str, ...]:
    """The fields to order by, ending in one that no two rows share."""
    fields = ORDERINGS.get(ordering, (ordering,))
    return (*fields, "-pk" if fields[-1].startswith("-") else "pk")
