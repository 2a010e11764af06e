"""The gate in front of all our admin pages: whoever ``ACCESS_CHECK`` turns away is told so.

Wagtail would answer a missing right with a redirect and a short message, as for any page. But
who has not got client billing at all has to learn that, and whom to ask.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.http import HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, resolve
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView
from wagtail.admin.views.generic.base import WagtailAdminTemplateMixin

from ..models import AgencySettings
from ..permissions import agency_policy, has_access

View = Callable[..., HttpResponse]

# Of those who have client billing, as many as are worth naming.
MOST_NAMES = 3
LOOK_AT = 20


class TurnedAwayView(WagtailAdminTemplateMixin, TemplateView):
    """Says in plain words that client billing is not part of what somebody has."""

    template_name = "wagtail_client_billing/admin/turned_away.html"
    page_title = gettext_lazy("Client billing")
    header_icon = "wcb-invoice"

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [*self.breadcrumbs_items, {"url": "", "label": _("Client billing")}]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(names=", ".join(who_may_help()), **kwargs)


def who_may_help() -> list[str]:
    """Names of people who have client billing and manage it, a few of them."""
    people = agency_policy.users_with_permission("change").distinct().order_by("pk")[:LOOK_AT]
    helpers = [person for person in people if has_access(person)][:MOST_NAMES]
    return [person.get_full_name() or person.get_username() for person in helpers]


def behind_gate(view: View) -> View:
    """The view for those who have client billing; for all others one page, with status 403.

    Keeps what is marked on the view, such as being outside of ``ATOMIC_REQUESTS``.
    """

    @wraps(view)
    def gated(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if has_access(request.user):
            return view(request, *args, **kwargs)
        request.method = "GET"
        page = cast(TemplateResponse, TurnedAwayView.as_view()(request))
        page.status_code = 403
        return page.render()

    return gated


def all_behind_gate(patterns: list[Any]) -> list[Any]:
    """The same URL patterns with every view behind the gate."""
    for pattern in patterns:
        pattern.callback = behind_gate(pattern.callback)
    return patterns


def settings_patterns() -> list[Any]:
    """Wagtail's pages of our two settings models, behind the gate.

    Come before Wagtail's own URLs, since Wagtail asks for the right, and redirects, before it
    calls the hook ``before_edit_setting``. The names stay Wagtail's.
    """
    app = AgencySettings._meta.app_label

    def show(request: Any, rest: str) -> HttpResponse:
        found = resolve(f"/{app}/{rest}", urlconf="wagtail.contrib.settings.urls")
        return found.func(request, *found.args, **found.kwargs)

    return [path(f"settings/{app}/<path:rest>", behind_gate(show))]
