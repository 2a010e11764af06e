"""What went wrong with a mail server, in the words of ``EmailDelivery.Problem``."""

import smtplib
from types import CodeType

from ..models import EmailDelivery

Problem = EmailDelivery.Problem

# In these the server holds the text, or may hold it.
_HANDED_OVER: frozenset[CodeType] = frozenset(
    {smtplib.SMTP.data.__code__, smtplib.SMTP.quit.__code__}
)


def problem_of(error: BaseException) -> Problem:
    """What an exception of sending means.

    A connection that breaks once the text is on its way may have delivered it: only then the
    problem is ``UNCERTAIN``, and nobody should try again without being asked.
    """
    match error:
        case smtplib.SMTPRecipientsRefused():
            # We write to one recipient at a time.
            code = max((int(reply[0]) for reply in error.recipients.values()), default=0)
            return _by_code(code)
        case smtplib.SMTPAuthenticationError():
            return Problem.LATER if _is_temporary(error.smtp_code) else Problem.LOGIN
        case smtplib.SMTPConnectError() | smtplib.SMTPHeloError():
            return Problem.UNREACHABLE
        case smtplib.SMTPResponseException():
            return _by_code(error.smtp_code)
    if _was_handed_over(error):
        return Problem.UNCERTAIN
    if isinstance(error, smtplib.SMTPServerDisconnected) or _is_of_network(error):
        return Problem.UNREACHABLE
    return Problem.OTHER


def described(error: BaseException) -> str:
    """What the server said, for the detail page; at most 255 characters."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            replies = [f"{code} {_text(reply)}" for code, reply in error.recipients.values()]
            said = "; ".join(replies)
        case smtplib.SMTPResponseException():
            said = f"{error.smtp_code} {_text(error.smtp_error)}"
        case _:
            said = f"{type(error).__name__}: {error}"
    return " ".join(said.split())[:255]


def _by_code(code: int) -> Problem:
    return Problem.LATER if _is_temporary(code) else Problem.REFUSED


def _is_temporary(code: int) -> bool:
    return 400 <= code < 500


def _is_of_network(error: BaseException) -> bool:
    # Also time-outs, TLS, look-ups of names, and what libraries for mail over HTTP raise.
    return isinstance(error, OSError)


def _was_handed_over(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in _HANDED_OVER:
            return True
        trace = trace.tb_next
    return False


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
