"""The only writer of a request's status and of the facts beside it.

Every function is one transaction: it locks the request first, looks at what is there, writes the
change together with its log entry and the mails that follow, and wakes the worker on commit.
None of them talks to Stripe or to a mail server.
"""

from .attempts import (
    ask_again,
    attempt_asked,
    attempt_checked,
    attempt_opened,
    attempt_over,
    begin_attempt,
    session_end,
)
from .by_hand import by_hand_payment, take_back
from .creation import REPEATED_WITHIN, create_request
from .deliveries import (
    delivery_accepted,
    delivery_bounced,
    delivery_claimed,
    delivery_dropped,
    delivery_failed,
    delivery_handed_over,
    delivery_put_off,
    delivery_taken_back,
    move_once_for_first_delivery,
)
from .editing import renew
from .ends import is_past_its_end
from .forgotten import payment_forgotten, subscription_forgotten
from .holds import apply_hold, lift_hold, place_hold, place_holds
from .mail_server import (
    mail_server_failed,
    mail_server_saved,
    mail_server_works,
    retry_waiting_mail,
    tell_of_mail_server,
)
from .mailing import account_broken, drop_queued, resend, tell_agency
from .money_back import (
    DisputeFacts,
    RefundFacts,
    begin_refund,
    disputes_known,
    ends_subscription,
    payment_asked,
    refund_asked,
    refund_refused,
    refunds_known,
)
from .money_in import PaymentFacts, flag_review, mark_processing, payment_failed, record_payment
from .moves import ALLOWED_MOVES, expire_overdue, move
from .record import note
from .reminders import put_off_until, queue_due, remind
from .review import accept_review, dismiss_review
from .subscribing import (
    SubscriptionFacts,
    failure_is_known,
    renewal_decided,
    renewal_failed,
    renewal_under_way,
    subscription_asked,
    subscription_known,
    subscription_unfinished,
)
from .subscription_changes import (
    begin_change,
    change_asked,
    change_done,
    change_refused,
    keeping_drops,
    keeping_restores,
)

__all__ = [
    "REPEATED_WITHIN",
    "ALLOWED_MOVES",
    "DisputeFacts",
    "PaymentFacts",
    "RefundFacts",
    "SubscriptionFacts",
    "accept_review",
    "account_broken",
    "apply_hold",
    "ask_again",
    "attempt_asked",
    "attempt_checked",
    "attempt_opened",
    "attempt_over",
    "begin_attempt",
    "begin_change",
    "begin_refund",
    "by_hand_payment",
    "change_asked",
    "change_done",
    "change_refused",
    "create_request",
    "delivery_accepted",
    "delivery_bounced",
    "delivery_claimed",
    "delivery_dropped",
    "delivery_failed",
    "delivery_handed_over",
    "delivery_put_off",
    "delivery_taken_back",
    "dismiss_review",
    "disputes_known",
    "ends_subscription",
    "drop_queued",
    "expire_overdue",
    "failure_is_known",
    "flag_review",
    "is_past_its_end",
    "keeping_drops",
    "keeping_restores",
    "lift_hold",
    "mail_server_failed",
    "mail_server_saved",
    "mail_server_works",
    "mark_processing",
    "move",
    "move_once_for_first_delivery",
    "note",
    "payment_asked",
    "payment_failed",
    "payment_forgotten",
    "place_hold",
    "place_holds",
    "put_off_until",
    "queue_due",
    "record_payment",
    "refund_asked",
    "refund_refused",
    "refunds_known",
    "remind",
    "renew",
    "renewal_failed",
    "renewal_decided",
    "renewal_under_way",
    "resend",
    "retry_waiting_mail",
    "session_end",
    "subscription_asked",
    "subscription_forgotten",
    "subscription_known",
    "subscription_unfinished",
    "take_back",
    "tell_agency",
    "tell_of_mail_server",
]
