"""The two settings pages: of the agency, and of each client site."""

from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from wagtail.admin.forms import WagtailAdminModelForm
from wagtail.admin.panels import FieldPanel, TabbedInterface

from ..conf import billing_settings
from ..models import AgencySettings, SiteBillingSettings
from .fields import (
    CurrencyField,
    EmailsField,
    LifetimeField,
    LongSelect,
    OneLineField,
    ReminderField,
    TimeZoneField,
    WebAddressField,
    refuse_bad_addresses,
)
from .formats import client_language_choices, lifetime_text
from .health import HealthPanel
from .mail_form import PREFIX, MailAddressField, MailServerFields
from .mail_panel import RIGHT, email_tab
from .message_list import MessagesPanel
from .panels import BillingRequestsPanel, StripeConnectionPanel, Tab
from .urls import (
    AGENCY_TAB,
    DEFAULTS_TAB,
    EMAIL_TAB,
    HEALTH_TAB,
    MESSAGES_TAB,
    SITE_TAB,
    agency_settings_url,
    site_settings_url,
)


class AgencySettingsForm(MailServerFields, WagtailAdminModelForm):
    """The agency's name ends up in the head of e-mails, hence on one line."""

    agency_name = OneLineField(
        label=_("Agency name"),
        max_length=100,
        required=False,
        help_text=_("Shown to your clients in e-mails and on the payment page."),
    )
    first_reminder = ReminderField(
        label=_("First reminder"),
        required=False,
        help_text=_("How long before the link expires. Leave blank for none."),
    )
    second_reminder = ReminderField(
        label=_("Second reminder"),
        required=False,
        help_text=_(
            "Closer to the end. A reminder is left out where the link lasts less than twice as"
            " long, and never sent at night in the site's time zone."
        ),
    )

    def save(self, commit: bool = True) -> Any:
        saved = super().save(commit=commit)
        # A reminder left blank counts as changed with Django, for the unit beside it.
        saved.changed_names = tuple(
            name
            for name in self.changed_data
            if self.cleaned_data.get(name) != self.initial.get(name)
        )
        return saved

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        first, second = data.get("first_reminder"), data.get("second_reminder")
        if first and second and second >= first:
            text = _("Enter less than for the first reminder: this one is closer to the end.")
            self.add_error("second_reminder", text)
        return data


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
    link_lifetime = LifetimeField(label=_("Link valid for"), required=False)
    time_zone = TimeZoneField(
        label=_("Time zone"),
        required=False,
        help_text=_("In which clients of this site are told until when they can pay."),
    )
    client_emails = EmailsField(
        label=_("Client's e-mail addresses"),
        required=False,
        help_text=_("One a line. They are offered where a billing request is added."),
    )
    from_name = OneLineField(
        label=_("From name"),
        max_length=100,
        required=False,
        help_text=_(
            "Whom clients of this site get their e-mails from. Only with custom SMTP; leave blank "
            "to use the agency's."
        ),
    )
    from_email = MailAddressField(
        label=_("From address"),
        required=False,
        help_text=_(
            "An address that the agency's mail server may send from. Only with custom SMTP; leave "
            "blank to use the agency's."
        ),
    )
    reply_to = MailAddressField(
        label=_("Reply-to"),
        required=False,
        help_text=_("Where answers of this site's clients go. Leave blank to use the agency's."),
    )
    language = forms.ChoiceField(
        label=_("Language"),
        required=False,
        widget=LongSelect,
        help_text=_("In which clients of this site are written to."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "language" in self.fields:
            self.fields["language"].choices = [
                ("", _("The website's default language")),
                *client_language_choices(),
            ]
        if "link_lifetime" in self.fields:
            text = gettext("How long payment links can be paid. Leave blank for %(lifetime)s.")
            lifetime = {"lifetime": lifetime_text(billing_settings.link_lifetime)}
            self.fields["link_lifetime"].help_text = text % lifetime
        if "time_zone" in self.fields:
            text = gettext("The website's own: %(zone)s")
            zone = {"zone": timezone.get_default_timezone_name()}
            self.fields["time_zone"].offer_blank(text % zone)

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
    """General · Client billing · Email (SMTP) · Messages · Health."""
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
            email_tab(),
            Tab(
                [
                    MessagesPanel(),
                    FieldPanel("first_reminder"),
                    FieldPanel("second_reminder"),
                ],
                heading=_("Messages"),
                anchor=MESSAGES_TAB,
            ),
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
                    FieldPanel("client_emails"),
                    FieldPanel("currency"),
                    FieldPanel("success_url"),
                    FieldPanel("cancel_url"),
                    FieldPanel("link_lifetime"),
                    FieldPanel("language"),
                    FieldPanel("time_zone"),
                    FieldPanel("billing_address"),
                    FieldPanel("from_name"),
                    # One mail server sends for all sites: whose address it uses is not for one
                    # of them to say.
                    FieldPanel("from_email", permission=RIGHT),
                    FieldPanel("reply_to"),
                ],
                heading=_("Defaults"),
                anchor=DEFAULTS_TAB,
            ),
        ],
        base_form_class=SiteBillingSettingsForm,
    )


def tab_after_saving(saved: Any) -> str | None:
    """The address of the tab that was saved; None where it is the first one, or not ours.

    Wagtail opens the first tab after saving: away from the test e-mail that comes next.
    """
    if isinstance(saved, SiteBillingSettings):
        return site_settings_url(saved.site, DEFAULTS_TAB)
    names = getattr(saved, "changed_names", ())
    if not isinstance(saved, AgencySettings) or not names:
        return None
    if all(name.startswith(PREFIX) for name in names):
        return agency_settings_url(EMAIL_TAB)
    if set(names) <= {"first_reminder", "second_reminder"}:
        return agency_settings_url(MESSAGES_TAB)
    return None


def prepare() -> tuple[type[AgencySettings], type[SiteBillingSettings]]:
    """Gives both settings models their pages; then they can be registered."""
    AgencySettings.edit_handler = agency_edit_handler()  # type: ignore[attr-defined]
    SiteBillingSettings.edit_handler = site_edit_handler()  # type: ignore[attr-defined]
    return AgencySettings, SiteBillingSettings
