"""Whether the agency's own mail server was tried, and takes what it is given."""

from collections.abc import Iterator
from datetime import datetime

from django.utils.translation import gettext as _

from ..models import EmailDelivery, MailServer
from .findings import Finding, advice, ok, problem, when

PROBLEMS = dict(EmailDelivery.Problem.choices)


def mail_server(now: datetime) -> Iterator[Finding]:
    """Nothing where mail goes by the project's default mail."""
    server = MailServer.in_use()
    if server is None:
        return
    facts = {"host": server.host, "port": server.port}
    todo = _("Correct Settings → Agency settings → Email (SMTP), and send a test e-mail.")
    if server.failing_since:
        text = _("The mail server %(host)s has taken no e-mail since %(moment)s: %(why)s") % {
            **facts,
            "moment": when(server.failing_since),
            "why": PROBLEMS.get(server.failing_problem, ""),
        }
        yield problem("mail", text.strip(), todo)
    elif server.tested_at and server.test_problem:
        text = _("The last test of the mail server %(host)s failed: %(why)s") % {
            **facts,
            "why": PROBLEMS.get(server.test_problem, ""),
        }
        yield advice("mail", text, todo)
    elif server.tested_at is None:
        text = _("The mail server %(host)s was never tested with its present settings.") % facts
        yield advice("mail", text, _("Send a test e-mail in Settings → Agency settings."))
    else:
        text = _("Mail goes by %(host)s, port %(port)s; last tested: %(moment)s") % {
            **facts,
            "moment": when(server.tested_at),
        }
        yield ok("mail", text)
