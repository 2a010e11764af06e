"""Ids that look like Stripe's."""

import hashlib
import secrets
import string

ALPHABET = string.ascii_letters + string.digits


def new(prefix: str, length: int = 24) -> str:
    """A random id such as ``pi_3kQ…``."""
    return f"{prefix}_{''.join(secrets.choice(ALPHABET) for _ in range(length))}"


def derived(prefix: str, seed: str, length: int = 16) -> str:
    """The same id for the same seed, at any time and in any process."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big")
    letters = []
    for _ in range(length):
        number, index = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[index])
    return f"{prefix}_{''.join(letters)}"
