"""Which installation is the real one: the two ways out of being taken for a copy."""

from typing import Any

from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from wagtail.admin import messages

from ..errors import BillingError
from ..gateway import connect, copies
from ..hosts import this_host
from ..mail.outbox import waiting_for
from ..sealing import SecretUnreadable
from . import audit
from .connecting import ConnectionPage
from .urls import agency_settings_url


class CopyPage(ConnectionPage):
    """Says what will happen; the button does it. Where this is no copy there is no button."""

    template_name = "wagtail_client_billing/admin/confirm.html"
    button: object = ""
    serious = False

    def sentences(self) -> list[str]:
        """What pressing the button means."""
        raise NotImplementedError

    def act(self) -> bool:
        """Does it; False if there was nothing to do."""
        raise NotImplementedError

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        copy = self.object.is_copy
        return super().get_context_data(
            # The page itself is about what the banner says.
            notices=[],
            sentences=self.sentences() if copy else [self.no_copy()],
            button=self.button if copy else "",
            serious=self.serious,
            next_url=agency_settings_url(),
            **kwargs,
        )

    def no_copy(self) -> str:
        return _("The Stripe account is used from here already: there is nothing to decide.")

    def facts(self) -> dict[str, Any]:
        """What the sentences name."""
        return {
            "account": self.object.account_name or self.object.account_id,
            "there": self.object.host,
            "here": this_host(),
        }

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.act():
            messages.success(request, self.no_copy())
        return HttpResponseRedirect(agency_settings_url())


class ConfirmHostView(CopyPage):
    """*This is the real one*: e-mails and Stripe go on from here.

    Reaches Stripe: no transaction may be open around it.
    """

    page_title = gettext_lazy("This is the real one")
    button = gettext_lazy("This is the real one")

    def sentences(self) -> list[str]:
        waiting = waiting_for(self.object)
        found = [
            _("%(account)s was connected at %(there)s. Is %(here)s now in its place?")
            % self.facts(),
            _(
                "Then make sure that %(there)s no longer runs: with both of them, clients would be"
                " written to twice."
            )
            % self.facts(),
        ]
        if waiting:
            text = ngettext(
                "%(count)d waiting e-mail is sent to a client.",
                "%(count)d waiting e-mails are sent to clients.",
                waiting,
            )
            found.append(text % {"count": waiting})
        found.append(_("Stripe is told the new address for its events."))
        return found

    def act(self) -> bool:
        was = self.object.host
        if not copies.confirm_host(self.object):
            return False
        audit.note(self.request.user, self.object, "confirm_host", was=was, host=self.object.host)
        text = _("%(account)s is used from %(here)s now.")
        messages.success(self.request, text % self.facts())
        try:
            connect.check(self.object)
        except SecretUnreadable:
            text = _("The stored key cannot be read. Connect the account again.")
            messages.error(self.request, text)
        except BillingError as error:
            messages.warning(self.request, str(error))
        return True


class ForgetView(CopyPage):
    """*Forget the connection*: this copy lets go of the account, which notices nothing."""

    page_title = gettext_lazy("Forget the connection")
    button = gettext_lazy("Forget the connection")
    serious = True

    def sentences(self) -> list[str]:
        waiting = waiting_for(self.object)
        found = [
            _("%(account)s stays connected at %(there)s. Nothing changes there or at Stripe.")
            % self.facts(),
            _("Here its key is wiped, and bills of this account can no longer be paid or sent."),
        ]
        if waiting:
            text = ngettext(
                "%(count)d waiting e-mail is never sent.",
                "%(count)d waiting e-mails are never sent.",
                waiting,
            )
            found.append(text % {"count": waiting})
        found.append(_("Nothing is deleted: requests, payments and their history stay."))
        return found

    def act(self) -> bool:
        if not copies.forget(self.object, user=self.request.user):
            return False
        audit.note(self.request.user, self.object, "forget", was=self.object.host, host=this_host())
        text = _("%(account)s is forgotten here.")
        messages.success(self.request, text % self.facts())
        return True
