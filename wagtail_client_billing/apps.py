from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class ClientBillingConfig(AppConfig):
    name = "wagtail_client_billing"
    label = "wagtail_client_billing"
    verbose_name = _("Client billing")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401
        from .compat import add_account_menu_item
        from .mail.providers import watch_bounces

        watch_bounces()
        add_account_menu_item(_agency_settings_entry)
        post_migrate.connect(_schedule_sweep, sender=self)


def _agency_settings_entry(user: Any) -> dict[str, Any] | None:
    """*Agency settings* for the avatar menu of those who may change them."""
    from .models import AgencySettings
    from .permissions import may

    if not may(user, "change", AgencySettings):
        return None
    meta = AgencySettings._meta
    return {
        "name": "agency-settings",
        "label": gettext("Agency settings"),
        # Without the row's number, which would cost a query on every page of the admin.
        "url": reverse("wagtailsettings:edit", args=[meta.app_label, meta.model_name]),
        "icon_name": "cogs",
    }


def _schedule_sweep(sender: Any, using: str = "default", **kwargs: Any) -> None:
    from .scheduling import schedule_sweep

    schedule_sweep(using)
