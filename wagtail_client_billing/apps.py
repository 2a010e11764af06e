from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ClientBillingConfig(AppConfig):
    name = "wagtail_client_billing"
    label = "wagtail_client_billing"
    verbose_name = _("Client billing")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401

        post_migrate.connect(_schedule_sweep, sender=self)


def _schedule_sweep(sender: Any, using: str = "default", **kwargs: Any) -> None:
    from .scheduling import schedule_sweep

    schedule_sweep(using)
