"""What is stored."""

from .agency import AgencySettings, SiteBillingSettings
from .billing import BillingRequest
from .checkout import CheckoutAttempt, Dispute, Payment, Refund, Subscription
from .connection import StripeConnection, WebhookEndpoint
from .events import Heartbeat, LogEntry, StripeEvent
from .mail import EmailDelivery

__all__ = [
    "AgencySettings",
    "BillingRequest",
    "CheckoutAttempt",
    "Dispute",
    "EmailDelivery",
    "Heartbeat",
    "LogEntry",
    "Payment",
    "Refund",
    "SiteBillingSettings",
    "StripeConnection",
    "StripeEvent",
    "Subscription",
    "WebhookEndpoint",
]
