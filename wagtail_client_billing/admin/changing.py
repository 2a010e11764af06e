"""What staff change of a request that was sent: edit, renew, mark as paid, take that back.

Editing and marking as paid close the open session at Stripe first, hence outside of any
transaction.
"""

from typing import Any

from django import forms
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin import messages

from .. import lifecycle
from ..errors import BillingError
from ..gateway import changes
from ..gateway.changes import Outcome
from .acting import ActionPage
from .actions import can_edit, can_mark_paid, can_renew, can_take_back
from .amounts import terms_text
from .change_forms import EditForm, MarkPaidForm, RenewForm, TakeBackForm
from .formats import amount_text, relative_text
from .urls import admin_url, detail_url


class FormActionPage(ActionPage):
    """Says what will happen and asks what has to be known for it."""

    form_class: Any = forms.Form
    form: Any = None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        if self.possible() and "form" not in kwargs:
            kwargs["form"] = self.make_form()
        return super().get_context_data(**kwargs)

    def make_form(self, data: Any = None) -> Any:
        """The form, filled in with what was sent."""
        return self.form_class(data, bill=self.object)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.possible():
            return self.render_to_response(self.get_context_data())
        self.form = form = self.make_form(request.POST)
        if not form.is_valid():
            messages.error(request, _("Nothing was changed. Please correct the errors."))
            return self.render_to_response(self.get_context_data(form=form))
        self.data = form.cleaned_data
        try:
            self.act()
        except BillingError as error:
            form.add_error(None, str(error))
            return self.render_to_response(self.get_context_data(form=form))
        return HttpResponseRedirect(self.next_url(detail_url(self.object)))


class ChangePage(FormActionPage):
    """A change that Stripe has to hear of first."""

    def change(self) -> Outcome:
        """Makes the change, or says why it was not made."""
        raise NotImplementedError

    def done(self) -> str:
        """What is said once it is made."""
        raise NotImplementedError

    def act(self) -> None:
        outcome = self.change()
        number = {"number": self.object.number}
        if outcome == Outcome.DONE:
            self.object.refresh_from_db()
            messages.success(self.request, self.done())
        elif outcome == Outcome.PAID:
            text = _("%(number)s was not changed: the client has paid it.")
            messages.warning(self.request, text % number)
        elif outcome == Outcome.PROCESSING:
            text = _(
                "%(number)s was not changed: the client has paid, and the bank is working on it."
            )
            messages.warning(self.request, text % number)
        elif outcome == Outcome.LOST:
            text = _(
                "Stripe cannot be asked, since the account is lost. The client can no longer pay"
                " %(number)s, and it is changed when its payment page at Stripe must be over."
            )
            messages.warning(self.request, text % number)
        else:
            text = _(
                "Stripe cannot be reached at the moment. The client can no longer pay %(number)s,"
                " and it is changed as soon as Stripe answers."
            )
            messages.warning(self.request, text % number)


class EditView(ChangePage):
    """Changes the amount, the description or the readers of a pending request."""

    action = "change"
    template_name = "wagtail_client_billing/admin/edit.html"
    page_title = gettext_lazy("Edit")
    button = gettext_lazy("Save")
    header_icon = "edit"
    form_class = EditForm

    def possible(self) -> bool:
        return can_edit(self.request.user, self.object)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(said_back_url=admin_url("said_back"), **kwargs)

    def sentences(self) -> list[str]:
        facts = {
            "number": self.object.number,
            "email": self.object.email,
            "amount": terms_text(self.object),
        }
        return [
            _("%(number)s asks %(email)s for %(amount)s.") % facts,
            _("If the client has Stripe's page open, it is closed, and nothing can be paid there."),
            _("A changed amount is shown on the client's page with a note."),
        ]

    def change(self) -> Outcome:
        return changes.edit_request(
            self.object.pk,
            amount_minor=self.data["amount_minor"],
            description=self.data["description"],
            email=self.data["email"],
            cc=self.data["cc"],
            bcc=self.data["bcc"],
            mail=self.data["mail"],
            user=self.request.user,
        )

    def done(self) -> str:
        facts = {"number": self.object.number, "amount": amount_text(self.object)}
        return _("%(number)s was changed. It asks for %(amount)s.") % facts


class MarkPaidView(ChangePage):
    """Records that the whole amount came past Stripe."""

    action = "mark_paid"
    page_title = gettext_lazy("Mark as paid")
    button = gettext_lazy("Mark as paid")
    header_icon = "check"
    form_class = MarkPaidForm

    def possible(self) -> bool:
        return can_mark_paid(self.request.user, self.object)

    def sentences(self) -> list[str]:
        facts = {"number": self.object.number, "amount": amount_text(self.object)}
        return [
            _("For %(number)s you have received %(amount)s, not through Stripe.") % facts,
            _("The client can no longer pay it online. You can take this back."),
        ]

    def change(self) -> Outcome:
        return changes.mark_request_paid(
            self.object.pk,
            received_at=self.data["received_on"],
            note=self.data["note"],
            mail=self.data["mail"],
            seen=self.data["seen"],
            user=self.request.user,
        )

    def done(self) -> str:
        return _("%(number)s is marked as paid.") % {"number": self.object.number}


class TakeBackView(FormActionPage):
    """Takes back what staff had marked as paid."""

    action = "mark_paid"
    page_title = gettext_lazy("Take payment back")
    button = gettext_lazy("Yes, take it back")
    header_icon = "cross"
    serious = True
    form_class = TakeBackForm

    def possible(self) -> bool:
        return can_take_back(self.request.user, self.object)

    def sentences(self) -> list[str]:
        number = {"number": self.object.number}
        return [
            _("%(number)s was marked as paid by hand. Take that back?") % number,
            _("Unless money came through Stripe, it is pending again until its deadline."),
        ]

    def act(self) -> None:
        self.object = lifecycle.take_back(
            self.object.pk, user=self.request.user, why=self.data["why"]
        )
        facts = {"number": self.object.number, "status": self.status_word()}
        text = _("The payment was taken back. %(number)s is now %(status)s.")
        messages.success(self.request, text % facts)


class RenewView(FormActionPage):
    """Makes an expired request payable again, under the same number and link."""

    action = "change"
    page_title = gettext_lazy("Renew")
    button = gettext_lazy("Renew and send")
    header_icon = "resubmit"
    form_class = RenewForm

    def possible(self) -> bool:
        return can_renew(self.request.user, self.object)

    def sentences(self) -> list[str]:
        facts = {"number": self.object.number, "email": self.object.email}
        return [
            _("%(number)s keeps its number and its link, and can be paid again.") % facts,
            _("The e-mail with the link is sent to %(email)s again.") % facts,
        ]

    def act(self) -> None:
        self.object = lifecycle.renew(
            self.object.pk,
            lifetime=self.data["link_lifetime"],
            unconfirmed=self.data.get("unconfirmed", False),
            user=self.request.user,
        )
        facts = {
            "number": self.object.number,
            "email": self.object.email,
            "when": relative_text(self.object.expires_at),
        }
        text = _("%(number)s is queued for %(email)s. It expires %(when)s.")
        messages.success(self.request, text % facts)
