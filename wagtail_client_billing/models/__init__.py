"""What is stored."""

from .agency import AgencySettings, SiteBillingSettings
from .billing import BillingRequest
from .bulk import BulkItem, BulkJob
from .checkout import CheckoutAttempt
from .connection import StripeConnection, WebhookEndpoint
from .events import Heartbeat, LogEntry, StripeEvent
from .mail import EmailDelivery, MailServer, MessageSettings
from .payments import Dispute, Payment, Refund
from .subscriptions import Subscription, SubscriptionChange

__all__ = [
    "AgencySettings",
    "BillingRequest",
    "BulkItem",
    "BulkJob",
    "CheckoutAttempt",
    "Dispute",
    "EmailDelivery",
    "Heartbeat",
    "LogEntry",
    "MailServer",
    "MessageSettings",
    "Payment",
    "Refund",
    "SiteBillingSettings",
    "StripeConnection",
    "StripeEvent",
    "Subscription",
    "SubscriptionChange",
    "WebhookEndpoint",
]
