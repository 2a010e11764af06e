"""The URLs of the public pages; ``wagtail_hooks`` registers them."""

from django.urls import path

from . import afterwards, pages, webhook

public_patterns = [
    path("pay/<str:token>/", pages.pay, name="pay"),
    path("pay/<str:token>/checkout/", pages.checkout, name="checkout"),
    path("pay/<str:token>/done/", pages.come_back, name="return"),
    path("pay/<str:token>/receipt/<str:payment>/", afterwards.receipt, name="receipt"),
    path("pay/<str:token>/portal/", afterwards.portal, name="portal"),
    path("stripe/webhook/<uuid:endpoint_uuid>/", webhook.receive_event, name="webhook"),
]
