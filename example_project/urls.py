from django.conf import settings
from django.conf.urls.static import static
from django.templatetags.static import static as static_url
from django.urls import include, path
from django.views.generic import RedirectView
from wagtail import urls as wagtail_urls
from wagtail.admin import urls as wagtailadmin_urls
from wagtail.documents import urls as wagtaildocs_urls

urlpatterns = [
    path("admin/", include(wagtailadmin_urls)),
    path("documents/", include(wagtaildocs_urls)),
    path("billing/", include("wagtail_client_billing.urls")),
    path("sandbox/", include("wagtail_client_billing.sandbox.urls")),
    # Asked for by browsers on pages that name no icon, such as the bill.
    path("favicon.ico", RedirectView.as_view(url=static_url("home/favicon.svg"))),
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
    path("", include(wagtail_urls)),
]
