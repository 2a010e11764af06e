"""``path("sandbox/", include("wagtail_client_billing.sandbox.urls"))``."""

from django.urls import path

from . import (
    api,
    checkout_pages,
    connect_pages,
    inbox,
    invoice_pages,
    pages,
    payment_pages,
    portal_pages,
    subscription_pages,
)

app_name = "client_billing_sandbox"

urlpatterns = [
    path("", pages.home, name="home"),
    path("stripe/oauth/authorize", connect_pages.authorize_page, name="authorize"),
    path("stripe/<path:rest>", api.api, name="api"),
    path("checkout/<str:session_id>/", checkout_pages.checkout_page, name="checkout"),
    path("checkout/<str:session_id>/later/", checkout_pages.later_page, name="later"),
    path("invoice/<str:invoice_id>/", invoice_pages.invoice_page, name="invoice"),
    path("portal/<str:session_id>/", portal_pages.portal_page, name="portal"),
    path("onboarding/<str:token>/", connect_pages.onboarding_page, name="onboarding"),
    path("connected/end/", connect_pages.disconnect, name="disconnect"),
    path("sessions/", pages.sessions_page, name="sessions"),
    path("payments/", payment_pages.payments_page, name="payments"),
    path("subscriptions/", subscription_pages.subscriptions_page, name="subscriptions"),
    path("calls/", pages.calls_page, name="calls"),
    path("events/", pages.events_page, name="events"),
    path("events/<str:event_id>/again/", pages.fire_again, name="fire_again"),
    path("webhooks/", pages.webhooks_page, name="webhooks"),
    path("keys/", pages.keys_page, name="keys"),
    path("keys/revoke/", pages.revoke_key, name="revoke_key"),
    path("keys/<str:account>/", pages.change_account, name="change_account"),
    path("dashboard/apikeys/create", pages.create_key_page, {"mode": "live"}),
    path("dashboard/test/apikeys/create", pages.create_key_page, {"mode": "test"}),
    path("dashboard/", pages.dashboard, name="dashboard"),
    path("dashboard/<path:rest>", pages.dashboard),
    path("clock/", pages.advance_clock, name="clock"),
    path("faults/", pages.faults_page, name="faults"),
    path("faults/<int:fault_id>/remove/", pages.remove_fault, name="remove_fault"),
    path("inbox/", inbox.inbox_page, name="inbox"),
    path("inbox/empty/", inbox.empty_inbox, name="empty_inbox"),
    path("inbox/<int:mail_id>/", inbox.mail_page, name="mail"),
    path("inbox/<int:mail_id>/html/", inbox.mail_html, name="mail_html"),
]
