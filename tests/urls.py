from importlib.util import find_spec

from django.urls import include, path
from wagtail import urls as wagtail_urls
from wagtail.admin import urls as wagtailadmin_urls

urlpatterns = [
    path("admin/", include(wagtailadmin_urls)),
    *(
        [path("billing/", include("wagtail_client_billing.urls"))]
        if find_spec("wagtail_client_billing.urls")
        else []
    ),
    *(
        [path("sandbox/", include("wagtail_client_billing.sandbox.urls"))]
        if find_spec("wagtail_client_billing.sandbox")
        and find_spec("wagtail_client_billing.sandbox.urls")
        else []
    ),
    path("", include(wagtail_urls)),
]
