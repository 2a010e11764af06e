"""Settings of the agency and of each client site."""

from datetime import timedelta
from typing import Any, Self

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext_lazy as _
from wagtail.contrib.settings.models import BaseGenericSetting, BaseSiteSetting
from wagtail.models import Site


class AgencySettings(BaseGenericSetting):
    """Who runs this Wagtail installation. There is one row, kept single by ``guard``."""

    guard = models.BooleanField(default=True, unique=True, editable=False)
    agency_name = models.CharField(
        _("agency name"),
        max_length=100,
        blank=True,
        help_text=_("Shown to your clients in e-mails and on the payment page."),
    )
    contact_email = models.EmailField(
        _("contact e-mail"),
        blank=True,
        help_text=_("Where clients can write to with questions about a bill."),
    )
    notification_email = models.EmailField(
        _("notification e-mail"),
        blank=True,
        help_text=_("Where we tell you about payments. Leave blank to use the contact e-mail."),
    )
    # How long before a link expires its client is reminded; None is never.
    first_reminder = models.DurationField(null=True, blank=True, default=timedelta(days=3))
    second_reminder = models.DurationField(null=True, blank=True, default=timedelta(hours=4))

    class Meta:
        verbose_name = _("agency settings")

    def __str__(self) -> str:
        return str(self._meta.verbose_name).capitalize()

    @classmethod
    def _get_or_create(cls) -> Self:
        # Wagtail's own reads, then creates: five rows were seen after a race.
        found = cls.current()
        if found is not None:
            return found
        try:
            with transaction.atomic():
                return cls.objects.create()
        except IntegrityError:
            return cls.objects.get()

    @classmethod
    def current(cls) -> Self | None:
        """The settings if they were ever saved. Unlike ``load()`` it never writes."""
        return cls.objects.order_by("pk").first()

    @property
    def notify(self) -> str:
        """The address that hears of payments; may be empty."""
        return self.notification_email or self.contact_email


class SiteBillingSettings(BaseSiteSetting):
    """A client site's defaults for new billing requests, and the address of its payment pages."""

    currency = models.CharField(_("currency"), max_length=3, blank=True)
    success_url = models.URLField(
        _("success URL"),
        max_length=500,
        blank=True,
        help_text=_("Where clients go after they have paid."),
    )
    cancel_url = models.URLField(
        _("cancel URL"),
        max_length=500,
        blank=True,
        help_text=_("Where clients go when they leave without paying."),
    )
    billing_address = models.URLField(
        _("billing address"),
        max_length=200,
        blank=True,
        help_text=_(
            "Address under which payment links of this site are reached, such as "
            "https://billing.example.com. Leave blank to use the site's own address."
        ),
    )

    language = models.CharField(
        _("language"),
        max_length=15,
        blank=True,
        help_text=_("In which clients of this site are written to."),
    )
    link_lifetime = models.DurationField(_("link lifetime"), null=True, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True)
    # One address a line, the usual recipient first.
    client_emails = models.TextField(_("client's e-mail addresses"), max_length=2000, blank=True)
    # The sender of this site's mails, where the agency's mail server sends for others too.
    from_name = models.CharField(_("from name"), max_length=100, blank=True)
    from_email = models.EmailField(_("from address"), blank=True)
    reply_to = models.EmailField(_("reply-to"), blank=True)

    class Meta:
        verbose_name = _("Client Billing")

    def __str__(self) -> str:
        return str(self._meta.verbose_name)

    @classmethod
    def current(cls, site: Site | None, **only: Any) -> Self | None:
        """The site's settings if they were ever saved. Unlike ``for_site()`` it never writes."""
        return cls.objects.filter(site=site, **only).first() if site else None

    @property
    def emails(self) -> list[str]:
        """The addresses of the site's client that are known, the usual recipient first."""
        return self.client_emails.split()
