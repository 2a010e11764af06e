"""On the way to Stripe and back: a new account of the platform's, and OAuth."""

import re
import time
from typing import Any

from django.core.cache import cache
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin import messages

from ..errors import BillingError
from ..gateway import connect, oauth, onboarding
from ..models import StripeConnection
from . import audit, oauth_state
from .formats import country_name
from .pages import AgencyPage
from .urls import agency_settings_url

# How often in a minute coming back reaches Stripe; after that it shows what is known.
RETURNS_A_MINUTE = 10


class SeeOther(HttpResponseRedirect):
    """303: whatever the method was, go on with GET."""

    status_code = 303
    allowed_schemes = ["http", "https"]


def say_connected(request: Any, connection: StripeConnection, typed_country: str = "") -> None:
    """Connected to …; and that the account's country wins over the one that was typed."""
    text = _("Connected to %(account)s.") % {
        "account": connection.account_name or connection.account_id
    }
    if typed_country and connection.country and typed_country != connection.country:
        taken = _("The account is in %(country)s, not in %(typed)s: that is what counts.")
        text += " " + taken % {
            "country": country_name(connection.country),
            "typed": country_name(typed_country),
        }
    messages.success(request, text)


def lead_to_stripe(request: Any, connection: StripeConnection) -> HttpResponse:
    """Off to Stripe's questions; where that fails, back to the tab with the reason."""
    try:
        return SeeOther(onboarding.go_on(connection))
    except BillingError as error:
        messages.error(request, str(error))
    return HttpResponseRedirect(agency_settings_url())


class OnboardingPage(AgencyPage):
    """Something about an account that the platform has made, or is about to."""

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        rows = StripeConnection.objects.filter(flow=StripeConnection.Flow.CONNECT, unlinked_at=None)
        self.object = get_object_or_404(rows, pk=kwargs["pk"])

    def get_page_subtitle(self) -> str:
        return self.object.account_name or self.object.account_id

    def may_ask(self) -> bool:
        """Whether a GET may reach Stripe: not too often in a minute."""
        key = f"wagtail_client_billing.onboarding.{self.object.uuid}.{int(time.time() // 60)}"
        try:
            cache.add(key, 0, timeout=65)
            return cache.incr(key) <= RETURNS_A_MINUTE
        except ValueError:
            # Thrown out between the two calls.
            return True


class ContinueView(OnboardingPage):
    """Goes on where it was left. Reaches Stripe: no transaction may be open around it."""

    template_name = "wagtail_client_billing/admin/confirm.html"
    page_title = gettext_lazy("Continue on Stripe")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            sentences=[_("Stripe asks what it needs to know, and leads you back here.")],
            button=_("Continue on Stripe"),
            next_url=agency_settings_url(),
            **kwargs,
        )

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return lead_to_stripe(request, self.object)


class RefreshView(OnboardingPage):
    """Where Stripe sends people whose link was used up: to a new one.

    Reaches Stripe: no transaction may be open around it.
    """

    http_method_names = ["get"]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.object.account_id and self.may_ask():
            return lead_to_stripe(request, self.object)
        return HttpResponseRedirect(agency_settings_url())


class ReturnView(OnboardingPage):
    """Where Stripe leads back to; that says nothing, so the account is read again.

    Reaches Stripe: no transaction may be open around it.
    """

    http_method_names = ["get"]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        was_ready = self.object.ready
        try:
            if self.object.account_id and self.may_ask():
                connect.read_again(self.object)
        except BillingError as error:
            messages.error(request, str(error))
        else:
            say_how_it_stands(request, self.object)
            if self.object.ready and not was_ready:
                audit.note(request.user, self.object, "connect", flow=self.object.flow)
        return HttpResponseRedirect(agency_settings_url())


class StartOverView(OnboardingPage):
    """Forgets an account that was never finished; calls nobody."""

    template_name = "wagtail_client_billing/admin/confirm.html"
    page_title = gettext_lazy("Start over")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            sentences=[
                _("This installation forgets the account that was begun. You can connect another."),
                _("Nothing is deleted at Stripe: what was entered there stays there."),
            ],
            button=_("Start over"),
            serious=True,
            next_url=agency_settings_url(),
            **kwargs,
        )

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        onboarding.start_over(self.object)
        if self.object.unlinked_at:
            audit.note(request.user, self.object, "forget", flow=self.object.flow)
            messages.success(request, _("The account that was begun is forgotten."))
        else:
            messages.warning(request, _("This account is finished. Unlink it instead."))
        return HttpResponseRedirect(agency_settings_url())


class CallbackView(AgencyPage):
    """Where OAuth leads back to, with a code or a refusal.

    Reaches Stripe: no transaction may be open around it.
    """

    http_method_names = ["get"]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            typed = oauth_state.take(request, request.GET.get("state", ""))
            connection = self.connect(typed)
        except BillingError as error:
            messages.error(request, str(error))
        else:
            oauth_state.forget_typed(request)
            audit.note(request.user, connection, "connect", flow=connection.flow)
            say_connected(request, connection, typed["country"])
        return HttpResponseRedirect(agency_settings_url())

    def connect(self, typed: dict[str, Any]) -> StripeConnection:
        answer = self.request.GET
        if answer.get("error") == "access_denied":
            raise BillingError(_("Access was refused at Stripe. Nothing was connected."))
        code = answer.get("code", "")
        if answer.get("error") or not re.fullmatch(r"\w{1,200}", code, re.ASCII):
            raise BillingError(_("Stripe answered with an error. Nothing was connected."))
        return oauth.connect_with_code(code=code, user=self.request.user, **typed)


def say_how_it_stands(request: Any, connection: StripeConnection) -> None:
    """After somebody comes back from Stripe's questions."""
    name = {"account": connection.account_name or connection.account_id}
    if connection.ready:
        say_connected(request, connection)
    elif connection.requirements:
        text = _("Stripe still needs something before %(account)s can take payments; see below.")
        messages.warning(request, text % name)
    else:
        text = _("Stripe is looking at what you entered for %(account)s. Check again later.")
        messages.warning(request, text % name)
