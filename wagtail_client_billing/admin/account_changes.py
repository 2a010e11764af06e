"""What is changed on a connected account: its key, its legal pages, its webhook endpoint."""

from typing import Any

from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin import messages

from ..errors import BillingError
from ..gateway import connect, endpoints
from ..models import StripeConnection, WebhookEndpoint
from ..sealing import BadEncryptionKey, SecretUnreadable
from . import audit
from .account_forms import KeyForm, LegalPagesForm, SigningSecretForm
from .pages import ConnectionPage
from .urls import agency_settings_url


class FormPage(ConnectionPage):
    """A page with one form about the account; ends on the tab."""

    template_name = "wagtail_client_billing/admin/account_form.html"
    button: object = ""

    def form(self, data: Any = None) -> Any:
        raise NotImplementedError

    def save(self, form: Any) -> bool:
        """Does it and says so; False, with the form's errors set, if it could not be done."""
        raise NotImplementedError

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.show(self.form())

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.form(request.POST)
        if form.is_valid() and self.save(form):
            return HttpResponseRedirect(agency_settings_url())
        messages.error(request, _("Nothing was changed. Please correct the errors."))
        return self.show(form)

    def show(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            button=self.button, back_url=agency_settings_url(), connection=self.object, **kwargs
        )


class ReplaceKeyView(FormPage):
    """Takes another key of the same account.

    Reaches Stripe: no transaction may be open around it.
    """

    page_title = gettext_lazy("Replace key")
    button = gettext_lazy("Replace key")
    flows = (StripeConnection.Flow.RESTRICTED_KEY,)

    def form(self, data: Any = None) -> KeyForm:
        return KeyForm(data)

    def save(self, form: KeyForm) -> bool:
        old = self.object.key_last4
        try:
            connect.replace_key(self.object, key=form.cleaned_data["key"])
        except connect.KeyRefused as refused:
            form.add_error("key", str(refused))
            return False
        except BillingError as error:
            form.add_error(None, str(error))
            form.add_error("key", _("Enter the key again: it is not sent back to this page."))
            return False
        except BadEncryptionKey:
            form.add_error(
                None, _("The key cannot be stored: an entry of ENCRYPTION_KEYS is malformed.")
            )
            return False
        audit.note(self.request.user, self.object, "replace_key", last4=self.object.key_last4)
        if old and old != self.object.key_last4:
            text = _(
                "The key was replaced. Delete the old one, which ends in %(last4)s, at Stripe."
            )
            messages.success(self.request, text % {"last4": old})
        else:
            messages.success(self.request, _("The key was replaced."))
        return True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            sentences=[
                _("Paste another key of the same account. Bills and their links stay as they are.")
            ],
            key_page=connect.key_page_url(self.object.livemode),
            **kwargs,
        )


class LegalPagesView(FormPage):
    """Changes the addresses of privacy policy and terms of service."""

    page_title = gettext_lazy("Privacy policy and terms")
    button = gettext_lazy("Save")

    def form(self, data: Any = None) -> LegalPagesForm:
        now = {
            "privacy_policy_url": self.object.privacy_policy_url,
            "terms_url": self.object.terms_url,
        }
        return LegalPagesForm(data, initial=now, livemode=self.object.livemode)

    def save(self, form: LegalPagesForm) -> bool:
        changed = {name: form.cleaned_data[name] for name in form.changed_data}
        if changed:
            # Stripe's portal shows them as well: the next client gets one that shows the new ones.
            StripeConnection.objects.filter(pk=self.object.pk).update(
                portal_configuration_id="", **changed
            )
            audit.note(self.request.user, self.object, "change_terms", **changed)
        messages.success(self.request, _("Clients are shown these pages from now on."))
        return True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            sentences=[_("Clients are shown both before they pay.")], **kwargs
        )


class WebhookView(FormPage):
    """Has Stripe make a new endpoint with a new secret, or takes in a secret made by hand.

    Reaches Stripe: no transaction may be open around it.
    """

    template_name = "wagtail_client_billing/admin/webhook.html"
    page_title = gettext_lazy("Webhook endpoint")
    button = gettext_lazy("Save signing secret")
    flows = (StripeConnection.Flow.RESTRICTED_KEY,)

    def setup(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.endpoint = endpoints.endpoint_of(self.object)

    def form(self, data: Any = None) -> SigningSecretForm:
        return SigningSecretForm(data)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if "roll" in request.POST:
            return self.roll()
        return super().post(request, *args, **kwargs)

    def roll(self) -> HttpResponse:
        try:
            made = endpoints.roll_secret(self.object, waiting=True)
        except SecretUnreadable:
            messages.error(self.request, _("The stored key cannot be read. Replace the key."))
        except BillingError as error:
            messages.error(self.request, str(error))
        else:
            audit.note(self.request.user, self.object, "roll_secret", endpoint=made.stripe_id)
            messages.success(
                self.request,
                _("Stripe made a new secret. The one before it is accepted for another 24 hours."),
            )
            return HttpResponseRedirect(agency_settings_url())
        return self.show(self.form())

    def save(self, form: SigningSecretForm) -> bool:
        try:
            stored = endpoints.store_secret(self.object, form.cleaned_data["secret"])
        except BillingError as error:
            form.add_error(None, str(error))
            return False
        except BadEncryptionKey:
            form.add_error(
                None, _("The secret cannot be stored: an entry of ENCRYPTION_KEYS is malformed.")
            )
            return False
        audit.note(self.request.user, self.object, "roll_secret", by_hand=True)
        if stored.secret_rolled_at:
            text = _("The secret was replaced. The one before it is accepted for another 24 hours.")
        else:
            text = _("The secret is stored. Stripe tells us of payments from now on.")
        messages.success(self.request, text)
        return True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        works = self.endpoint is not None and self.endpoint.state == WebhookEndpoint.State.ACTIVE
        return super().get_context_data(
            endpoint=self.endpoint,
            works=works,
            by_api=works and bool(self.endpoint and self.endpoint.stripe_id),
            events=endpoints.EVENTS,
            dashboard_url=connect.dashboard_url(self.object, "webhooks"),
            **kwargs,
        )
