"""Add Billing Request, from the dialog, as a page, and from an earlier request."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin import messages
from wagtail.models import Site

from .. import lifecycle
from ..errors import BillingError
from ..models import BillingRequest
from ..permissions import may, requests_worked_on_by, sites_for
from .ends_form import end_again
from .formats import typed_amount
from .pages import BillingPage
from .request_form import BillingRequestForm, connections_by_mode
from .urls import admin_url, detail_url, site_settings_url

# Of sites to choose from, as many as anybody looks through.
MOST_SITES = 20
LONGEST_NAME = 255


class AddView(BillingPage):
    """Writes the request and queues its e-mail; talks to nobody."""

    template_name = "wagtail_client_billing/admin/add.html"
    page_title = gettext_lazy("Add Billing Request")
    header_icon = "mail"
    earlier: BillingRequest | None = None

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        # First, so that what is not there is not there, whatever rights somebody lacks besides.
        self.site = self.find_site()
        if not may(request.user, "add"):
            raise PermissionDenied
        self.connections = connections_by_mode()

    def find_site(self) -> Site | None:
        """The site that was named, or the only one; other people's sites do not exist."""
        mine = sites_for(self.request.user, "add")
        named = self.request.POST.get("site") or self.request.GET.get("site")
        if named:
            if not (named.isascii() and named.isdecimal() and len(named) < 19):
                raise Http404
            return get_object_or_404(mine, pk=int(named))
        first_two = list(mine[:2])
        return first_two[0] if len(first_two) == 1 else None

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        from .listing import IndexView

        return [
            *self.breadcrumbs_items,
            {"url": admin_url("index"), "label": IndexView.page_title},
            {"url": "", "label": self.get_page_title()},
        ]

    def make_form(self, **kwargs: Any) -> BillingRequestForm:
        return BillingRequestForm(
            user=self.request.user,
            site=self.site,
            connections=self.connections,
            earlier=self.earlier,
            **kwargs,
        )

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.site is None:
            return self.choose_site(request.GET.get("q", ""))
        return self.show(self.make_form(initial=self.initial()))

    def choose_site(self, typed: str) -> HttpResponse:
        """Asks for which site first: what the form is filled in with are that site's defaults."""
        typed = typed.strip()[:LONGEST_NAME].replace("\0", "")
        found = sites_for(self.request.user, "add").filter(
            Q(site_name__icontains=typed) | Q(hostname__icontains=typed)
        )
        shown = list(found[: MOST_SITES + 1])
        context = self.get_context_data(
            sites=shown[:MOST_SITES], more=len(shown) > MOST_SITES, typed=typed
        )
        return self.response_class(
            self.request, "wagtail_client_billing/admin/choose_site.html", context
        )

    def initial(self) -> dict[str, Any]:
        return {}

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.make_form(data=request.POST)
        if not form.is_valid():
            if not form.doubts:
                text = _("The billing request was not sent. Please correct the errors.")
                messages.validation_error(request, text, form)
            return self.show(form)
        try:
            made = self.create(form)
        except BillingError as error:
            form.add_error(None, str(error))
            return self.show(form)
        text = _("Billing request %(number)s is queued for %(email)s.")
        messages.success(
            request,
            text % {"number": made.number, "email": made.email},
            buttons=[messages.button(detail_url(made), _("Details"))],
        )
        return HttpResponseRedirect(self.next_url(site_settings_url(made.site)))

    def create(self, form: BillingRequestForm) -> BillingRequest:
        data = form.cleaned_data
        return lifecycle.create_request(
            site=self.site or data["site"],
            connection=form.connection,
            email=data["email"],
            cc=data["cc"],
            bcc=data["bcc"],
            currency=data["currency"],
            amount_minor=data["amount_minor"],
            description=data["description"],
            billing_type=data["billing_type"],
            ends_after=data["ends_after"],
            ends_on=data["ends_on"],
            success_url=data["success_url"],
            cancel_url=data["cancel_url"],
            language=data["language"],
            link_lifetime=data["link_lifetime"],
            user=self.request.user,
            once=data["once"],
        )

    def show(self, form: BillingRequestForm) -> HttpResponse:
        return self.render_to_response(
            self.get_context_data(
                form=form,
                site=self.site,
                connected=bool(self.connections),
                next_url=self.next_url(""),
                action_url=self.request.path,
                earlier=self.earlier,
                said_back_url=admin_url("said_back"),
            )
        )


class SendAgainView(AddView):
    """The same bill once more, as a new request: what is over stays over."""

    page_title = gettext_lazy("Send again")

    def find_site(self) -> Site | None:
        reachable = requests_worked_on_by(self.request.user).select_related("site")
        self.earlier = get_object_or_404(reachable, pk=self.kwargs["pk"])
        if self.earlier.site is None or not may(self.request.user, "add", self.earlier):
            raise PermissionDenied
        return self.earlier.site

    def get_page_subtitle(self) -> str:
        return self.earlier.number if self.earlier else ""

    def initial(self) -> dict[str, Any]:
        earlier = self.earlier
        assert earlier is not None  # noqa: S101 - setup() has found it
        return {
            "email": earlier.email,
            "cc": earlier.cc.split(),
            "bcc": earlier.bcc,
            "currency": earlier.currency,
            "amount": typed_amount(earlier),
            "description": earlier.description,
            "billing_type": earlier.billing_type,
            **end_again(earlier),
            "success_url": earlier.success_url,
            "cancel_url": earlier.cancel_url,
            "test_mode": not earlier.livemode,
            "language": earlier.language,
            "link_lifetime": earlier.link_lifetime,
        }
