"""Secrets as they are stored: encrypted with the newest key, readable with every known key.

The keys are those of ``ENCRYPTION_KEYS``, newest first, then keys derived from ``SECRET_KEY``
and ``SECRET_KEY_FALLBACKS``, so that what was sealed before ``ENCRYPTION_KEYS`` was set stays
readable. Call ``open`` where the secret is used, never where a row is loaded.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.views.decorators.debug import sensitive_variables

from wagtail_client_billing.conf import billing_settings

# Says how a stored value was sealed, so that another way can follow this one.
PREFIX = "enc1:"


class SecretUnreadable(Exception):
    """A stored secret that no known key opens; the person who has it must enter it again."""


class BadEncryptionKey(ImproperlyConfigured, ValueError):
    """An entry of ``ENCRYPTION_KEYS`` that is no Fernet key; names its place, not its value."""


@sensitive_variables("secret")
def seal(secret: str) -> str:
    """The secret as it may be stored. The empty string, no secret at all, stays empty."""
    if not secret:
        return ""
    return PREFIX + cipher().encrypt(secret.encode()).decode()


def open(token: str) -> str:
    """The secret behind a stored value; raises ``SecretUnreadable``."""
    if not token:
        return ""
    try:
        return cipher().decrypt(_sealed(token)).decode()
    except (InvalidToken, BadEncryptionKey):
        raise SecretUnreadable("No known key opens this secret") from None


def rotate(token: str) -> str:
    """The same secret sealed with the newest key; raises ``SecretUnreadable``."""
    if not token:
        return ""
    try:
        return PREFIX + cipher().rotate(_sealed(token)).decode()
    except InvalidToken:
        raise SecretUnreadable("No known key opens this secret") from None


def cipher() -> MultiFernet:
    """All keys, the one that seals first; raises ``BadEncryptionKey``."""
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([*_own_keys(), *(Fernet(_derived_key(secret)) for secret in secrets)])


def _own_keys() -> list[Fernet]:
    keys = []
    for place, key in enumerate(billing_settings.ENCRYPTION_KEYS or [], start=1):
        try:
            keys.append(Fernet(key))
        except (ValueError, TypeError):
            raise BadEncryptionKey(
                f"ENCRYPTION_KEYS: entry {place} is not a Fernet key (32 bytes, url-safe base64)"
            ) from None
    return keys


def _derived_key(secret: str | bytes) -> bytes:
    material = secret if isinstance(secret, bytes) else secret.encode()
    hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"wagtail_client_billing")
    return base64.urlsafe_b64encode(hkdf.derive(material))


def _sealed(token: str) -> bytes:
    if not token.startswith(PREFIX):
        raise SecretUnreadable("This value was not sealed")
    return token.removeprefix(PREFIX).encode()
