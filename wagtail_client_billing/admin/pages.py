"""What our own admin pages have in common."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.generic import TemplateView
from wagtail.admin import messages
from wagtail.admin.utils import get_valid_next_url_from_request
from wagtail.admin.views.generic.base import WagtailAdminTemplateMixin

from ..errors import CopyOfProduction
from ..models import AgencySettings, BillingRequest, StripeConnection
from ..permissions import may, requests_worked_on_by
from .notices import notices_for
from .urls import admin_url, agency_settings_url, detail_url


class BillingPage(WagtailAdminTemplateMixin, TemplateView):
    """A page of ours with Wagtail's furniture and our notices."""

    header_icon = "wcb-invoice"
    http_method_names = ["get", "post", "head", "options"]

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().dispatch(request, *args, **kwargs)
        except CopyOfProduction as error:
            # Whatever it was that was pressed: nothing was changed, and here is why.
            messages.error(request, str(error))
            return HttpResponseRedirect(self.next_url(reverse("wagtailadmin_home")))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        context.setdefault("notices", notices_for(self.request))
        return context

    def next_url(self, fallback: str) -> str:
        """Where the person came from, if that is on this installation."""
        return get_valid_next_url_from_request(self.request) or fallback


class AgencyPage(BillingPage):
    """A page for those who may change the agency settings."""

    header_icon = "cogs"

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        if not may(request.user, "change", AgencySettings):
            raise PermissionDenied

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [
            *self.breadcrumbs_items,
            {"url": agency_settings_url(), "label": _("Agency settings")},
            {"url": "", "label": self.get_page_title(), "sublabel": self.get_page_subtitle()},
        ]


class ConnectionPage(AgencyPage):
    """A page about one linked account; ``flows`` are the ways of connecting that it is for."""

    flows: tuple[str, ...] = tuple(StripeConnection.Flow.values)

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.object = self.find(kwargs["pk"])

    def find(self, pk: int) -> StripeConnection:
        """The connection, if there is a page about it."""
        return get_object_or_404(StripeConnection.objects.active(), pk=pk, flow__in=self.flows)

    def get_page_subtitle(self) -> str:
        return self.object.account_name or self.object.account_id


class RequestPage(BillingPage):
    """A page about one billing request of a site of the user's.

    Other sites' requests do not exist here (404); a right that is missing on a request that the
    user may see is refused in Wagtail's way.
    """

    action = "view"

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.object = self.find(kwargs["pk"])
        if not may(request.user, self.action, self.object):
            raise PermissionDenied

    def find(self, pk: int) -> BillingRequest:
        """The request, with what badges need; clients have a page of their own."""
        reachable = requests_worked_on_by(self.request.user).with_facts().select_related("site")
        return get_object_or_404(reachable, pk=pk)

    def get_page_subtitle(self) -> str:
        return self.object.number

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        from .listing import IndexView

        return [
            *self.breadcrumbs_items,
            {"url": admin_url("index"), "label": IndexView.page_title},
            {"url": detail_url(self.object), "label": self.object.number},
            {"url": "", "label": self.get_page_title()},
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            object=self.object, next_url=self.next_url(detail_url(self.object)), **kwargs
        )
