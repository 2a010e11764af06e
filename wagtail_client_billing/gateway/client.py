"""One Stripe client per credential, its errors in our words, its answers as plain data."""

import logging
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .. import __version__, lifecycle, rights, sealing
from ..conf import billing_settings
from ..errors import (
    AccountLost,
    CopyOfProduction,
    NoSuchObject,
    NotConnected,
    StripeRefused,
    StripeUnavailable,
)
from ..models import StripeConnection
from ..transactions import outside_transaction

logger = logging.getLogger(__name__)

# Seconds to connect and to read. Where a person waits the SDK repeats twice; in tasks it does
# not, since the rows repeat themselves and a task has to end in time.
TIMEOUT = (5, 20)
RETRIES_WAITING = 2
MISSING_RIGHT = re.compile(r"Having the '(rak_[a-z_]+)' permission")


class Api:
    """Stripe as seen with one credential.

    ``waiting`` says that a person waits for the answer. With ``account`` every call is made on
    behalf of that account of the platform whose key it is.
    """

    @sensitive_variables("key")
    def __init__(
        self,
        key: str,
        *,
        waiting: bool = False,
        connection: StripeConnection | None = None,
        account: str = "",
        client_id: str = "",
    ) -> None:
        self.connection = connection
        self._platform = bool(account or client_id)
        self._client = _client(
            key, RETRIES_WAITING if waiting else 0, self._before, self._after, account, client_id
        )
        # How far our clock is ahead of Stripe's, by the latest answer.
        self.clock_skew_seconds: int | None = None

    def call(self, ask: Callable[[Any], Any]) -> dict[str, Any]:
        """Runs ``ask(client)`` and returns Stripe's object as plain data.

        Raises ``StripeUnavailable`` when asking again may help, ``AccountLost`` when the key is
        worth nothing any more (the connection is then marked as broken), ``NoSuchObject`` for a
        404, ``StripeRefused`` for every other no, and ``CopyOfProduction``, before anything is
        sent, where a connection of another host would be used for more than reading.
        """
        import stripe

        outside_transaction()
        try:
            return ask(self._client).to_dict(for_json=True)
        except stripe.StripeError as error:
            translated = _translate(error, platform=self._platform)
            logger.info(
                "Stripe said %s (%s, request %s)",
                type(error).__name__,
                _code(error) or error.http_status,
                error.request_id,
            )
            if isinstance(translated, AccountLost) and self.connection is not None:
                mark_broken(self.connection, str(translated))
            # The SDK's frames hold the key, and an error report shows the frames of a cause.
            raise translated from None

    def address(self, build: Callable[[Any], str]) -> str:
        """An address that the SDK builds without asking anybody."""
        return build(self._client)

    def _before(self, method: str) -> None:
        # The one way out, so that no call can forget it.
        if method.lower() != "get" and self.connection is not None and self.connection.is_copy:
            raise CopyOfProduction()

    def _after(self, headers: Mapping[str, str]) -> None:
        try:
            theirs = parsedate_to_datetime(headers.get("Date") or headers.get("date") or "")
            self.clock_skew_seconds = round((timezone.now() - theirs).total_seconds())
        except (TypeError, ValueError):
            # No date, or none that can be read: then nothing is known.
            return


@sensitive_variables("key")
def api_for(connection: StripeConnection | None, *, waiting: bool = False) -> Api:
    """The API with a connection's own key, or with the platform's on behalf of its account.

    Raises ``NotConnected`` when the connection, or the platform, holds no key, and
    ``sealing.SecretUnreadable`` when its key cannot be opened.
    """
    if connection is not None and connection.through_platform:
        if not connection.account_id or connection.let_go_at:
            raise NotConnected()
        return platform_api(
            connection.livemode,
            waiting=waiting,
            connection=connection,
            account=connection.account_id,
        )
    if connection is None or not connection.sealed_key:
        raise NotConnected()
    key = sealing.open(connection.sealed_key)
    return Api(key, waiting=waiting, connection=connection)


@sensitive_variables("keys")
def platform_api(
    livemode: bool,
    *,
    waiting: bool = False,
    connection: StripeConnection | None = None,
    account: str = "",
) -> Api:
    """The API with the operator's platform key of a mode, as itself or for one account.

    Raises ``NotConnected`` where the operator has set no key.
    """
    keys = billing_settings.platform(livemode)
    if not keys.get("secret_key"):
        raise NotConnected(
            _("This installation has no platform key for live mode.")
            if livemode
            else _("This installation has no platform key for test mode.")
        )
    return Api(
        keys["secret_key"],
        waiting=waiting,
        connection=connection,
        account=account,
        client_id=keys.get("client_id") or "",
    )


def mark_broken(connection: StripeConnection, why: str) -> None:
    """Notes once that an account cannot be asked any more; sending stops, history stays.

    The agency is told of it with that. Says nothing of a key that took the place of the one that
    was refused.
    """
    now = timezone.now()
    with transaction.atomic():
        working = StripeConnection.objects.filter(
            pk=connection.pk, broken_at=None, sealed_key=connection.sealed_key
        )
        if working.update(broken_at=now, broken_why=why[:255]):
            lifecycle.account_broken(connection.pk, since=now)


def stand_in() -> str:
    """The host that stands in for Stripe, or an empty string when it is Stripe."""
    base = billing_settings.STRIPE_API_BASE
    return urlsplit(base).netloc if base else ""


@sensitive_variables("key")
def _client(
    key: str,
    retries: int,
    before: Callable[[str], None],
    after: Callable[[Mapping[str, str]], None],
    account: str = "",
    client_id: str = "",
) -> Any:
    """The SDK's client; ``before`` sees the method of each exchange, ``after`` its headers."""
    import stripe

    class HTTPClient(stripe.RequestsClient):
        def request(self, method: str, *args: Any, **kwargs: Any) -> Any:
            before(method)
            answer = super().request(method, *args, **kwargs)
            after(answer[2])
            return answer

    logging.getLogger("stripe").addFilter(_tells_no_secret)
    # Telemetry writes into the home directory, which a container may not have.
    stripe.enable_telemetry = False
    if stripe.app_info is None:
        stripe.set_app_info("wagtail-client-billing", version=__version__)
    options: dict[str, Any] = {}
    if billing_settings.STRIPE_API_BASE:
        base = str(billing_settings.STRIPE_API_BASE).rstrip("/")
        options["base_addresses"] = dict.fromkeys(("api", "connect", "files", "meter_events"), base)
    return stripe.StripeClient(
        key,
        # Here and not with each call, so that no call can forget it.
        stripe_account=account or None,
        client_id=client_id or None,
        max_network_retries=retries,
        http_client=HTTPClient(timeout=TIMEOUT),
        **options,
    )


def _tells_no_secret(record: logging.LogRecord) -> bool:
    # At level DEBUG the SDK logs whole answers; one holds a signing secret, one access tokens.
    message = record.getMessage()
    return "whsec_" not in message and "access_token" not in message


def _code(error: Any) -> str:
    # For several classes the SDK leaves error.code empty and fills error.error.code.
    found = getattr(error.error, "code", None) if error.error else None
    return found or error.code or ""


LOST = {
    "account": _("Stripe says that this account is no longer connected to our platform."),
    "platform": _(
        "Stripe no longer accepts the key of our platform. Whoever runs this installation has to "
        "set a new one."
    ),
}


def _translate(error: Any, *, platform: bool = False) -> Exception:
    import stripe

    code = _code(error)
    said: str = error.user_message or ""
    if isinstance(error, stripe.APIConnectionError | stripe.RateLimitError):
        return StripeUnavailable()
    if isinstance(error, stripe.AuthenticationError) or code in (
        "account_invalid",
        "api_key_expired",
        "platform_api_key_expired",
    ):
        lost = LOST["account" if code == "account_invalid" else "platform"] if platform else None
        return AccountLost(
            lost,
            code=code or "unauthorized",
            status=error.http_status or 0,
        )
    status = error.http_status or 0
    if status >= 500 and (error.headers or {}).get("idempotent-replayed") == "true":
        # The key remembers the breakdown: asking again with it can never end otherwise.
        return StripeRefused(code="remembered_breakdown", status=status)
    if not 400 <= status < 500 or status == 409:
        return StripeUnavailable()
    if isinstance(error, stripe.PermissionError):
        found = MISSING_RIGHT.search(said)
        right = found.group(1) if found else ""
        sentence = (
            rights.sentence(right)
            if right
            else _("Stripe does not allow this: %(message)s") % {"message": said[:150]}
        )
        return StripeRefused(sentence, code=code, status=status, missing_right=right)
    if status == 404:
        return NoSuchObject(code=code, status=status)
    refusal = _("Stripe refused: %(message)s") % {"message": said[:200]} if said else None
    return StripeRefused(
        refusal, code=code, status=status, param=getattr(error, "param", None) or ""
    )
