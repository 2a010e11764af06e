"""The sandbox as a Django app. It refuses to start where real money could be near."""

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class SandboxConfig(AppConfig):
    name = "wagtail_client_billing.sandbox"
    label = "wagtail_client_billing_sandbox"
    verbose_name = "Client billing sandbox"
    default = True

    def ready(self) -> None:
        from wagtail_client_billing.conf import billing_settings

        if not (settings.DEBUG or billing_settings.SANDBOX is True):
            raise ImproperlyConfigured(
                "wagtail_client_billing.sandbox is a stand-in for Stripe, for development only: "
                "anybody who reaches it can mark bills as paid. Remove it from INSTALLED_APPS, or "
                'set WAGTAIL_CLIENT_BILLING["SANDBOX"] = True if that is really what you want.'
            )
