"""What is done to one request: check with Stripe, delete, send the e-mail again.

Each is a page that says what will happen, and a POST that does it. Those that reach Stripe run
outside any transaction.
"""

from typing import Any

from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin import messages

from .. import lifecycle
from ..errors import BillingError, CopyOfProduction
from ..gateway import changes
from ..gateway.reconcile import reconcile
from ..models import BillingRequest, EmailDelivery, LogEntry, MessageSettings
from .actions import can_delete, can_remind, can_resend
from .pages import RequestPage
from .urls import detail_url

Status = BillingRequest.Status


class ActionPage(RequestPage):
    """Says what will happen; the button does it."""

    template_name = "wagtail_client_billing/admin/confirm.html"
    button: object = ""
    serious = False

    def sentences(self) -> list[str]:
        """What pressing the button means."""
        raise NotImplementedError

    def act(self) -> None:
        """Does it and says what came out."""
        raise NotImplementedError

    def possible(self) -> bool:
        """Whether the request is in a state for it."""
        return True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            sentences=self.sentences() if self.possible() else [self.too_late()],
            button=self.button if self.possible() else "",
            serious=self.serious,
            **kwargs,
        )

    def too_late(self) -> str:
        text = _("%(number)s is %(status)s: this cannot be done with it.")
        return text % {"number": self.object.number, "status": self.status_word()}

    def status_word(self) -> str:
        return str(self.object.get_status_display()).lower()

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            self.act()
        except BillingError as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(self.next_url(detail_url(self.object)))


class CheckView(ActionPage):
    """Asks Stripe what it knows of the request."""

    page_title = gettext_lazy("Check with Stripe")
    button = gettext_lazy("Check with Stripe")
    header_icon = "rotate"

    def sentences(self) -> list[str]:
        return [
            _("Stripe is asked whether this bill was paid, and what it answers is entered here."),
        ]

    def act(self) -> None:
        was = self.object.status
        answer = reconcile(
            self.object.pk,
            cause=LogEntry.Cause.CHECK,
            user=self.request.user,
            waiting=True,
            # What is over as well, and what went back or is disputed of the newest payments.
            subscription_ids=None,
            payments=None,
        )
        self.object = self.find(self.object.pk)
        number = {"number": self.object.number, "status": self.status_word()}
        if answer.copy:
            raise CopyOfProduction()
        if answer.lost:
            text = _(
                "Stripe cannot be asked: the account of %(number)s is unlinked or refuses its key."
            )
            messages.error(self.request, text % number)
        elif answer.unreachable:
            text = _("Stripe cannot be reached at the moment. %(number)s is as it was.")
            messages.error(self.request, text % number)
        elif answer.changed and self.object.status == was:
            text = _(
                "Stripe had news of %(number)s. It is still %(status)s; its page says what happened."
            )
            messages.success(self.request, text % number)
        elif answer.changed:
            text = _("Stripe had news: %(number)s is now %(status)s.")
            messages.success(self.request, text % number)
        elif answer.asked:
            text = _("Stripe has no news: %(number)s is still %(status)s.")
            messages.success(self.request, text % number)
        else:
            text = _("There is nothing to ask: the client has not pressed Pay for %(number)s yet.")
            messages.success(self.request, text % number)


class DeleteView(ActionPage):
    """Ends a request: its session at Stripe first, then here."""

    action = "delete"
    page_title = gettext_lazy("Delete")
    button = gettext_lazy("Yes, delete")
    header_icon = "bin"
    serious = True

    def possible(self) -> bool:
        return can_delete(self.request.user, self.object)

    def sentences(self) -> list[str]:
        return [
            _(
                "Delete %(number)s? The payment link stops working, and the client can no longer pay."
            )
            % {"number": self.object.number},
            _("The request stays in the list as deleted, with its history."),
        ]

    def act(self) -> None:
        outcome = changes.delete_request(self.object.pk, user=self.request.user)
        number = {"number": self.object.number}
        if outcome == changes.Outcome.DONE:
            text = _("%(number)s was deleted. Its link no longer works.")
            messages.success(self.request, text % number)
        elif outcome == changes.Outcome.PAID:
            text = _("%(number)s was not deleted: the client has paid it.")
            messages.warning(self.request, text % number)
        elif outcome == changes.Outcome.PROCESSING:
            text = _(
                "%(number)s was not deleted: the client has paid, and the bank is working on it."
            )
            messages.warning(self.request, text % number)
        elif outcome == changes.Outcome.LOST:
            text = _(
                "Stripe cannot be asked, since the account is lost. The client can no longer open"
                " %(number)s, and it is deleted when its payment page at Stripe must be over."
            )
            messages.warning(self.request, text % number)
        else:
            text = _(
                "Stripe cannot be reached at the moment. The client can no longer pay %(number)s,"
                " and it is deleted as soon as Stripe answers."
            )
            messages.warning(self.request, text % number)


class ResendView(ActionPage):
    """Queues the e-mail with the link once more."""

    action = "resend"
    page_title = gettext_lazy("Resend e-mail")
    button = gettext_lazy("Resend e-mail")
    header_icon = "mail"

    def possible(self) -> bool:
        return can_resend(self.request.user, self.object)

    def sentences(self) -> list[str]:
        readers = ", ".join(address for _role, address in self.object.recipients)
        return [_("Send the e-mail with the payment link to %(email)s again?") % {"email": readers}]

    def act(self) -> None:
        queued = lifecycle.resend(self.object, only=self.reader(), user=self.request.user)
        text = _("The e-mail is queued for %(email)s.")
        readers = ", ".join(delivery.to for delivery in queued) or self.object.email
        messages.success(self.request, text % {"email": readers})

    def reader(self) -> tuple[str, str] | None:
        """Whom alone it goes to again: the recipient of one of the request's e-mails."""
        typed = self.request.POST.get("delivery", "")
        if not (typed.isascii() and typed.isdecimal() and len(typed) < 19):
            return None
        known = self.object.deliveries.filter(pk=int(typed)).first()
        return (known.role, known.to) if known is not None else None


class RemindView(ActionPage):
    """Queues a reminder of a bill that is not paid yet."""

    action = "resend"
    page_title = gettext_lazy("Send reminder")
    button = gettext_lazy("Send reminder")
    header_icon = "time"

    def possible(self) -> bool:
        return can_remind(self.request.user, self.object) and _reminders_are_on()

    def too_late(self) -> str:
        if not _reminders_are_on():
            return _("Reminders are switched off in the agency settings, under Messages.")
        return super().too_late()

    def sentences(self) -> list[str]:
        readers = ", ".join(address for _role, address in self.object.recipients)
        facts = {"email": readers, "number": self.object.number}
        return [
            _("Remind %(email)s that %(number)s is not paid yet?") % facts,
            _("The e-mail has the same link and names the same time until which it can be paid."),
        ]

    def act(self) -> None:
        lifecycle.remind(self.object, user=self.request.user)
        text = _("The reminder is queued for %(email)s.")
        messages.success(self.request, text % {"email": self.object.email})


def _reminders_are_on() -> bool:
    return MessageSettings.is_on(EmailDelivery.Kind.REMINDER)
