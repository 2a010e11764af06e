"""What went wrong with a mail server, in the words of ``EmailDelivery.Problem``."""

import smtplib
import socket
import ssl

from ..models import EmailDelivery
from ..netguard import NotAllowed, UnknownHost
from ..sealing import SecretUnreadable

Problem = EmailDelivery.Problem

# What every other message would meet as well.
OF_SERVER: frozenset[str] = EmailDelivery.OF_SERVER
# Worth trying again: it passes by itself, or somebody mends the server within the day.
FOR_NOW: frozenset[str] = OF_SERVER | {Problem.LATER, Problem.OTHER}

# Replies that mean the same wherever they come.
MUST_LOG_IN = frozenset({530, 534, 535})
MUST_ENCRYPT = 538
TOO_LARGE = 552


def problem_of(error: BaseException, *, handed_over: bool = False) -> Problem:
    """What an exception of sending means.

    ``handed_over``: whether the text was on its way. A connection that breaks then may have
    delivered it: the problem is ``UNCERTAIN``, and nobody should try again without being asked.
    What the server has answered is certain at any time, if it is an answer at all.
    """
    match error:
        case smtplib.SMTPDataError() if handed_over and not 400 <= error.smtp_code < 600:
            # smtplib counts anything but 250 as a refusal: another yes, or no reply code at all.
            return Problem.UNCERTAIN
        case NotAllowed():
            return Problem.FORBIDDEN
        case SecretUnreadable():
            return Problem.UNREADABLE
        case smtplib.SMTPRecipientsRefused():
            # We write to one recipient at a time.
            code = max((int(reply[0]) for reply in error.recipients.values()), default=0)
            return _by_code(code, otherwise=Problem.REFUSED)
        case smtplib.SMTPAuthenticationError():
            problem = _by_code(error.smtp_code, otherwise=Problem.LOGIN)
            # Every other message would be turned away as well, before anybody looked at it.
            return Problem.UNREACHABLE if problem == Problem.LATER else problem
        case smtplib.SMTPConnectError() | smtplib.SMTPHeloError():
            return Problem.UNREACHABLE
        case smtplib.SMTPSenderRefused() if error.smtp_code != TOO_LARGE:
            return _by_code(error.smtp_code, otherwise=Problem.SENDER)
        case smtplib.SMTPResponseException():
            return _by_code(error.smtp_code, otherwise=Problem.REFUSED)
        case smtplib.SMTPNotSupportedError():
            return _by_feature(str(error))
    if handed_over:
        return Problem.UNCERTAIN
    if isinstance(error, smtplib.SMTPServerDisconnected):
        # smtplib hides what broke the connection behind it.
        hidden = error.__cause__ or error.__context__
        return _of_network(hidden) if isinstance(hidden, OSError) else Problem.UNREACHABLE
    if isinstance(error, OSError):
        return _of_network(error)
    return Problem.OTHER


def described(error: BaseException) -> str:
    """What the server said, for the detail page; at most 255 characters.

    Of what comes before a message only the code: whoever chose the host would read there what
    any server answers to strangers, and some repeat what they were told at the login.
    """
    match error:
        case smtplib.SMTPRecipientsRefused():
            replies = [f"{code} {_text(reply)}" for code, reply in error.recipients.values()]
            said = "; ".join(replies)
        case (
            smtplib.SMTPAuthenticationError() | smtplib.SMTPConnectError() | smtplib.SMTPHeloError()
        ):
            said = str(error.smtp_code)
        case smtplib.SMTPResponseException():
            said = f"{error.smtp_code} {_text(error.smtp_error)}"
        case NotAllowed():
            # Which address a name of our network has is for the log of the test e-mail only.
            said = type(error).__name__
        case _:
            said = f"{type(error).__name__}: {error}"
    return " ".join(said.split())[:255]


def _by_code(code: int, *, otherwise: Problem) -> Problem:
    if code in MUST_LOG_IN:
        return Problem.LOGIN
    if code == MUST_ENCRYPT:
        return Problem.NO_TLS
    return Problem.LATER if 400 <= code < 500 else otherwise


def _by_feature(text: str) -> Problem:
    # Django's mailer raises it too; smtplib tells the three apart by their words only.
    if "AUTH" in text:
        return Problem.LOGIN
    # Otherwise an address that needs SMTPUTF8, which the server has not.
    return Problem.REFUSED if "SMTPUTF8" in text else Problem.NO_TLS


def _of_network(error: OSError) -> Problem:
    """Time-outs, TLS, look-ups of names, and what libraries for mail over HTTP raise."""
    match error:
        case ssl.SSLCertVerificationError():
            return Problem.CERTIFICATE
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return Problem.UNREACHABLE
        case TimeoutError():
            return Problem.TIMEOUT
        case ssl.SSLError():
            return Problem.NO_TLS
        case socket.gaierror() | UnknownHost():
            return Problem.NO_HOST
        case _:
            return Problem.UNREACHABLE


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
