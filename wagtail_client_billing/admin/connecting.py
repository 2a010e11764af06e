"""Connecting, checking and unlinking a Stripe account."""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.debug import sensitive_variables
from wagtail.admin import messages

from ..errors import BillingError, NotConnected, StripeUnavailable
from ..gateway import connect, oauth, onboarding
from ..models import StripeConnection, Subscription
from ..sealing import BadEncryptionKey, SecretUnreadable
from . import audit, oauth_state
from .connect_form import ConnectForm
from .onboarding import SeeOther, say_connected, say_how_it_stands
from .pages import AgencyPage, ConnectionPage
from .urls import agency_settings_url

# Beyond that many numbers nobody reads on; all are in the audit log.
SHOWN = 20


class ConnectView(AgencyPage):
    """Takes a restricted key, or leads to Stripe; ends on the tab with the account connected.

    Reaches Stripe: no transaction may be open around it.
    """

    template_name = "wagtail_client_billing/admin/connect.html"
    page_title = gettext_lazy("Create Client Billing Account")

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        test_mode = request.GET.get("mode") != "live"
        return self.show(
            ConnectForm(initial={**oauth_state.typed_before(request), "test_mode": test_mode})
        )

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        form = ConnectForm(request.POST)
        answer = self.connect(form) if form.is_valid() else None
        if answer is None:
            form.ask_for_key_again()
            messages.error(request, _("The account was not connected. Please correct the errors."))
            return self.show(form)
        return answer

    @sensitive_variables("data")
    def connect(self, form: ConnectForm) -> HttpResponse | None:
        """Where to go on; None, with the form's errors set, if nothing was connected."""
        data = form.cleaned_data
        typed = {
            "livemode": not data["test_mode"],
            "country": data["country"],
            "privacy_policy_url": data["privacy_policy_url"],
            "terms_url": data["terms_url"],
        }
        try:
            match form.chosen_flow:
                case StripeConnection.Flow.CONNECT:
                    return self.open_account(form, typed)
                case StripeConnection.Flow.OAUTH:
                    return self.ask_owner(typed)
                case _:
                    return self.with_key(data["key"], typed)
        except connect.KeyRefused as refused:
            form.refuse(refused.field, str(refused))
        except NotConnected as error:
            form.refuse("livemode", str(error))
        except BillingError as error:
            form.add_error(None, str(error))
        except BadEncryptionKey:
            form.add_error(
                None, _("The key cannot be stored: an entry of ENCRYPTION_KEYS is malformed.")
            )
        return None

    @sensitive_variables("key")
    def with_key(self, key: str, typed: dict[str, Any]) -> HttpResponse:
        connection = connect.connect_with_key(key=key, user=self.request.user, **typed)
        audit.note(self.request.user, connection, "connect", flow=connection.flow)
        say_connected(self.request, connection, typed["country"])
        return HttpResponseRedirect(agency_settings_url())

    def open_account(self, form: ConnectForm, typed: dict[str, Any]) -> HttpResponse | None:
        """Off to Stripe's questions. What Stripe refuses is said in the form."""
        connection = onboarding.begin(user=self.request.user, **typed)
        audit.note(self.request.user, connection, "begin", flow=connection.flow)
        try:
            return SeeOther(onboarding.go_on(connection))
        except StripeUnavailable:
            text = _("Stripe cannot be reached. What you entered is kept: go on with it later.")
            messages.error(self.request, text)
            return HttpResponseRedirect(agency_settings_url())

    def ask_owner(self, typed: dict[str, Any]) -> HttpResponse:
        """Off to Stripe's question whether our platform may act for the account."""
        state = oauth_state.begin(self.request, typed)
        return SeeOther(
            oauth.authorize_url(
                livemode=typed["livemode"],
                state=state,
                country=typed["country"],
                email=getattr(self.request.user, "email", ""),
            )
        )

    def show(self, form: ConnectForm) -> HttpResponse:
        return self.render_to_response(
            self.get_context_data(form=form, **key_pages(), back_url=agency_settings_url())
        )


class CheckAccountView(ConnectionPage):
    """Reads the account again. Reaches Stripe: no transaction may be open around it."""

    template_name = "wagtail_client_billing/admin/confirm.html"
    page_title = gettext_lazy("Check again")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            sentences=[_("Stripe is asked whether the account and its key are still in order.")],
            button=_("Check again"),
            next_url=agency_settings_url(),
            **kwargs,
        )

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            connect.check(self.object)
        except SecretUnreadable:
            messages.error(request, _("The stored key cannot be read. Replace the key."))
        except BillingError as error:
            messages.error(request, str(error))
        else:
            if not self.object.ready:
                say_how_it_stands(request, self.object)
                return HttpResponseRedirect(agency_settings_url())
            messages.success(
                request,
                _("%(account)s is in order.")
                % {"account": self.object.account_name or self.object.account_id},
            )
        return HttpResponseRedirect(agency_settings_url())


class UnlinkView(ConnectionPage):
    """Says in numbers what unlinking does; the red button does it, or goes on with it.

    Reaches Stripe: no transaction may be open around it.
    """

    template_name = "wagtail_client_billing/admin/confirm.html"
    page_title = gettext_lazy("Unlink account")

    def find(self, pk: int) -> StripeConnection:
        found = StripeConnection.objects
        return get_object_or_404(found.active() | found.being_unlinked(), pk=pk)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            sentences=unlink_sentences(
                connect.unlink_preview(self.object), going_on(self.object).count()
            ),
            button=_("Unlink account"),
            serious=True,
            next_url=agency_settings_url(),
            **kwargs,
        )

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        first = self.object.unlinked_at is None
        report = connect.unlink(self.object, user=request.user)
        if first or report.finished:
            audit.note(
                request.user,
                self.object,
                "unlink",
                finished=report.finished,
                not_closed=report.not_closed,
                still_open=report.waiting + report.asking,
                not_done=report.not_done,
            )
        name = {"account": self.object.account_name or self.object.account_id}
        if report.finished:
            messages.success(request, _("%(account)s is unlinked.") % name)
        else:
            text = _(
                "%(account)s is being unlinked. Nothing new can be paid; what Stripe could not do"
                " yet is tried again every minute."
            )
            messages.warning(request, text % name)
        if report.waiting or report.asking:
            text = _("Still open at Stripe: %(numbers)s.")
            numbers = list(dict.fromkeys([*report.waiting, *report.asking]))
            messages.warning(request, text % {"numbers": ", ".join(numbers[:SHOWN])})
        if report.not_closed:
            text = _(
                "Stripe could not be asked to close these: %(numbers)s. Whoever has the payment"
                " page open may still pay until it ends by itself."
            )
            messages.warning(request, text % {"numbers": ", ".join(report.not_closed[:SHOWN])})
        if report.not_done:
            text = _(
                "Stripe did not confirm a refund or a change of a subscription of these, and is not"
                " asked again: %(numbers)s. See at Stripe what became of it."
            )
            messages.warning(request, text % {"numbers": ", ".join(report.not_done[:SHOWN])})
        if report.still_allowed:
            messages.warning(request, report.still_allowed)
        return HttpResponseRedirect(agency_settings_url())


def going_on(connection: StripeConnection) -> QuerySet[Subscription]:
    """The subscriptions that Stripe goes on charging for an account, linked or not."""
    return Subscription.objects.filter(
        account_id=connection.account_id, livemode=connection.livemode
    ).exclude(status__in=Subscription.ENDED)


def unlink_sentences(report: connect.UnlinkReport, subscriptions: int) -> list[str]:
    """What unlinking will do, and what it will not."""
    found = [_("No new bills can be sent with this account until it is connected again.")]
    if report.pending:
        text = ngettext(
            "%(count)d pending request cannot be paid until the same account is linked again, and"
            " expires at its time.",
            "%(count)d pending requests cannot be paid until the same account is linked again, and"
            " expire at their time.",
            report.pending,
        )
        found.append(text % {"count": report.pending})
    if report.closed:
        text = ngettext(
            "%(count)d open payment page at Stripe is closed.",
            "%(count)d open payment pages at Stripe are closed.",
            report.closed,
        )
        found.append(text % {"count": report.closed})
    if report.processing:
        text = ngettext(
            "%(count)d payment still processing goes on at Stripe, and is not watched from here"
            " until then.",
            "%(count)d payments still processing go on at Stripe, and are not watched from here"
            " until then.",
            report.processing,
        )
        found.append(text % {"count": report.processing})
    if subscriptions:
        text = ngettext(
            "%(count)d subscription goes on at Stripe: its client is charged as before, and nothing"
            " of it is seen or can be cancelled from here. Cancel it first if it should end.",
            "%(count)d subscriptions go on at Stripe: their clients are charged as before, and"
            " nothing of them is seen or can be cancelled from here. Cancel them first if they"
            " should end.",
            subscriptions,
        )
        found.append(text % {"count": subscriptions})
    if report.by_hand:
        text = _("The webhook endpoint was made by hand; please delete it at Stripe: %(address)s")
        found.append(text % {"address": report.by_hand})
    found.append(_("Nothing is deleted: requests, payments and their history stay."))
    return found


def key_pages() -> dict[str, str]:
    """Stripe's pages that make a key with the right permissions, for both modes."""
    return {
        "test_key_page": connect.key_page_url(False),
        "live_key_page": connect.key_page_url(True),
    }
