"""The two settings pages: of the agency, and of each client site."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from wagtail.admin.forms import WagtailAdminModelForm
from wagtail.admin.panels import FieldPanel, TabbedInterface

from ..conf import billing_settings
from ..models import AgencySettings, SiteBillingSettings
from .fields import CurrencyField, OneLineField, WebAddressField, refuse_bad_addresses
from .formats import client_language_choices
from .health import HealthPanel
from .panels import BillingRequestsPanel, StripeConnectionPanel, Tab
from .urls import AGENCY_TAB, HEALTH_TAB, SITE_TAB


class AgencySettingsForm(WagtailAdminModelForm):
    """The agency's name ends up in the head of e-mails, hence on one line."""

    agency_name = OneLineField(
        label=_("Agency name"),
        max_length=100,
        required=False,
        help_text=_("Shown to your clients in e-mails and on the payment page."),
    )


class SiteBillingSettingsForm(WagtailAdminModelForm):
    """A site's defaults. Addresses may be http on this machine: the mode is not known yet."""

    currency = CurrencyField(
        label=_("Currency"), empty=_("The currency of the Stripe account"), required=False
    )
    success_url = WebAddressField(
        label=_("Success URL"),
        required=False,
        help_text=_("Where clients go after they have paid."),
    )
    cancel_url = WebAddressField(
        label=_("Cancel URL"),
        required=False,
        help_text=_("Where clients go when they leave without paying."),
    )
    billing_address = WebAddressField(
        label=_("Billing address"),
        max_length=200,
        required=False,
        help_text=_(
            "Address under which payment links of this site are reached, such as "
            "https://billing.example.com. Leave blank to use the site's own address."
        ),
    )
    language = forms.ChoiceField(
        label=_("Language"),
        required=False,
        help_text=_("In which clients of this site are written to."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "language" in self.fields:
            self.fields["language"].choices = [
                ("", _("The website's default language")),
                *client_language_choices(),
            ]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        hosts = billing_settings.REDIRECT_HOSTS
        refuse_bad_addresses(self, ("success_url", "cancel_url"), test_mode=True, hosts=hosts)
        refuse_bad_addresses(self, ("billing_address",), test_mode=True)
        if {"?", "#"} & set(data.get("billing_address") or ""):
            # Links are made by adding a path to it.
            self.add_error("billing_address", _("Leave out everything from the ? or # on."))
        return data


def agency_edit_handler() -> TabbedInterface:
    """General · Client billing · Health."""
    return TabbedInterface(
        [
            Tab(
                [
                    FieldPanel("agency_name"),
                    FieldPanel("contact_email"),
                    FieldPanel("notification_email"),
                ],
                heading=_("General"),
                anchor="general",
            ),
            Tab([StripeConnectionPanel()], heading=_("Client billing"), anchor=AGENCY_TAB),
            Tab([HealthPanel()], heading=_("Health"), anchor=HEALTH_TAB),
        ],
        base_form_class=AgencySettingsForm,
    )


def site_edit_handler() -> TabbedInterface:
    """Billing requests · Defaults."""
    return TabbedInterface(
        [
            Tab([BillingRequestsPanel()], heading=_("Billing requests"), anchor=SITE_TAB),
            Tab(
                [
                    FieldPanel("currency"),
                    FieldPanel("success_url"),
                    FieldPanel("cancel_url"),
                    FieldPanel("billing_address"),
                    FieldPanel("language"),
                ],
                heading=_("Defaults"),
                anchor="defaults",
            ),
        ],
        base_form_class=SiteBillingSettingsForm,
    )


def prepare() -> tuple[type[AgencySettings], type[SiteBillingSettings]]:
    """Gives both settings models their pages; then they can be registered."""
    AgencySettings.edit_handler = agency_edit_handler()  # type: ignore[attr-defined]
    SiteBillingSettings.edit_handler = site_edit_handler()  # type: ignore[attr-defined]
    return AgencySettings, SiteBillingSettings
