"""The panels that our settings pages are made of."""

from typing import Any

from django.middleware.csrf import get_token
from django.utils.translation import gettext as _
from wagtail.admin.panels import ObjectList, Panel
from wagtail.admin.ui.tables import Table

from ..models import AgencySettings
from ..permissions import agency_policy, may, requests_worked_on_by, works_on
from . import oauth_state
from .cards import cards
from .connect_form import ConnectForm
from .connecting import key_pages
from .notices import notices_for
from .request_form import BillingRequestForm, connections_by_mode
from .site_totals import totals_of
from .tables import LinksOfAPage, request_columns
from .urls import admin_url, site_settings_url

NEWEST = 20


class Tab(ObjectList):
    """A tab whose address is the same in every language; Wagtail's follows the heading."""

    def __init__(self, *args: Any, anchor: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.anchor = anchor

    def clone_kwargs(self) -> dict[str, Any]:
        return {**super().clone_kwargs(), "anchor": self.anchor}

    @property
    def clean_name(self) -> str:
        return self.anchor


class StripeConnectionPanel(Panel):
    """The connected accounts, or the way to connect one."""

    class BoundPanel(Panel.BoundPanel):
        template_name = "wagtail_client_billing/admin/panels/connection.html"

        def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
            context = super().get_context_data(parent_context)
            found = cards()
            missing = [card.livemode for card in found if card.connection is None]
            context.update(
                # A panel is rendered without the request's context: no {% csrf_token %}.
                csrf_token=get_token(self.request),
                cards=found,
                connected=len(missing) < len(found),
                missing=missing,
                form=ConnectForm(
                    initial={
                        **oauth_state.typed_before(self.request),
                        "test_mode": missing != [True],
                    }
                ),
                action_url=admin_url("connect"),
                notices=notices_for(self.request, on_agency_tab=True),
                **key_pages(),
            )
            return context


class BillingRequestsPanel(Panel):
    """The newest requests of a site, and the dialog that adds one."""

    class BoundPanel(Panel.BoundPanel):
        template_name = "wagtail_client_billing/admin/panels/requests.html"

        def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
            context = super().get_context_data(parent_context)
            user, site = self.request.user, self.instance.site
            connections = connections_by_mode()
            may_add = may(user, "add", site)
            works = works_on(user, site)
            context.update(
                request=self.request,
                csrf_token=get_token(self.request),
                site=site,
                notices=notices_for(self.request),
                # A client's own login sees its bills in Invoices, and nothing of how we work.
                works=works,
                may_view=works or may(user, "view", site),
                may_add=may_add,
                connections=connections,
                who_connects=who_connects() if works and not connections else [],
                may_connect=may(user, "change", AgencySettings),
                table=self.table() if works else None,
                totals=totals_of(site) if works else None,
                all_url=f"{admin_url('index')}?site={site.pk}",
                next_url=site_settings_url(site),
                action_url=admin_url("add"),
                said_back_url=admin_url("said_back"),
            )
            if may_add and connections:
                context["form"] = BillingRequestForm(user=user, site=site, connections=connections)
            return context

        def table(self) -> Table:
            user, site = self.request.user, self.instance.site
            newest = (
                requests_worked_on_by(user).filter(site=site).with_facts().select_related("site")
            )
            rows = list(newest.order_by("-created_at", "-pk")[:NEWEST])
            links = LinksOfAPage()
            links.load(rows)
            columns = request_columns(user, with_site=False, sortable=False, links=links)
            return Table(
                columns,
                rows,
                caption=_("Newest billing requests"),
            )


def who_connects() -> list[str]:
    """The names of those who may connect an account, a few of them."""
    people = agency_policy.users_with_permission("change").distinct().order_by("pk")[:3]
    return [person.get_full_name() or person.get_username() for person in people]
