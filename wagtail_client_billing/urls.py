"""The URLconf that a project includes, before that of Wagtail::

    path("billing/", include("wagtail_client_billing.urls")),

It is filled by the hook ``register_client_billing_urls``, whose functions return URL patterns.
"""

from django.urls import URLPattern, URLResolver
from wagtail import hooks

app_name = "client_billing"

urlpatterns: list[URLPattern | URLResolver] = []
for register in hooks.get_hooks("register_client_billing_urls"):
    urlpatterns += register() or []
