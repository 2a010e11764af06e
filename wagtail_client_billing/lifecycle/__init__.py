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
from .creation import create_request
from .holds import apply_hold, lift_hold, place_hold
from .mailing import (
    delivery_accepted,
    delivery_failed,
    drop_queued,
    move_once_for_first_delivery,
    resend,
)
from .money_in import (
    PaymentFacts,
    flag_review,
    mark_processing,
    payment_failed,
    record_payment,
)
from .moves import ALLOWED_MOVES, expire_overdue, move
from .record import note

__all__ = [
    "ALLOWED_MOVES",
    "PaymentFacts",
    "apply_hold",
    "ask_again",
    "attempt_asked",
    "attempt_checked",
    "attempt_opened",
    "attempt_over",
    "begin_attempt",
    "create_request",
    "delivery_accepted",
    "delivery_failed",
    "drop_queued",
    "expire_overdue",
    "flag_review",
    "lift_hold",
    "mark_processing",
    "move",
    "move_once_for_first_delivery",
    "note",
    "payment_failed",
    "place_hold",
    "record_payment",
    "resend",
    "session_end",
]
