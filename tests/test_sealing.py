"""Sealed secrets: what opens them, and what a lost or damaged key does."""

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from wagtail_client_billing import sealing
from wagtail_client_billing.sealing import BadEncryptionKey, SecretUnreadable

SECRET = "rk_test_very_secret_ü"
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def own_keys(*keys):
    return override_settings(WAGTAIL_CLIENT_BILLING={"ENCRYPTION_KEYS": list(keys)})


def test_rule_10_what_is_stored_does_not_show_the_secret_and_opens_again():
    token = sealing.seal(SECRET)
    assert token.startswith(sealing.PREFIX)
    assert SECRET not in token
    assert sealing.open(token) == SECRET


def test_no_secret_stays_no_secret():
    assert sealing.seal("") == ""
    assert sealing.open("") == ""
    assert sealing.rotate("") == ""


def test_the_same_secret_is_sealed_differently_each_time():
    assert sealing.seal(SECRET) != sealing.seal(SECRET)


def test_own_keys_seal_with_the_newest_and_open_with_all():
    with own_keys(OLD):
        token = sealing.seal(SECRET)
    with own_keys(NEW, OLD):
        assert sealing.open(token) == SECRET
        newest = sealing.seal(SECRET)
    with own_keys(NEW):
        assert sealing.open(newest) == SECRET
        with pytest.raises(SecretUnreadable):
            sealing.open(token)


def test_rotation_lets_the_old_key_go():
    with own_keys(OLD):
        token = sealing.seal(SECRET)
    with own_keys(NEW, OLD):
        rotated = sealing.rotate(token)
    with own_keys(NEW):
        assert sealing.open(rotated) == SECRET


def test_what_was_sealed_before_own_keys_stays_readable():
    token = sealing.seal(SECRET)
    with own_keys(NEW):
        assert sealing.open(token) == SECRET
        rotated = sealing.rotate(token)
    with own_keys(NEW), override_settings(SECRET_KEY="another"):
        assert sealing.open(rotated) == SECRET


def test_a_changed_secret_key_needs_its_fallback():
    with override_settings(SECRET_KEY="first"):
        token = sealing.seal(SECRET)
    with override_settings(SECRET_KEY="second", SECRET_KEY_FALLBACKS=["first"]):
        assert sealing.open(token) == SECRET
    with (
        override_settings(SECRET_KEY="second", SECRET_KEY_FALLBACKS=[]),
        pytest.raises(SecretUnreadable),
    ):
        sealing.open(token)


@pytest.mark.parametrize("damaged", ["enc1:", "enc1:abc", "enc1:ü", "abc", SECRET])
def test_a_damaged_value_is_unreadable_and_not_told(damaged):
    for use in (sealing.open, sealing.rotate):
        with pytest.raises(SecretUnreadable) as caught:
            use(damaged)
        assert damaged not in str(caught.value)


@pytest.mark.parametrize("bad", ["short", "", None, 5, "ü" * 44])
def test_a_malformed_key_names_its_place_and_is_a_lost_key_for_readers(bad):
    token = sealing.seal(SECRET)
    with own_keys(NEW, bad):
        with pytest.raises(BadEncryptionKey, match="entry 2") as caught:
            sealing.seal(SECRET)
        assert isinstance(caught.value, ImproperlyConfigured)
        assert isinstance(caught.value, ValueError)
        assert not bad or str(bad) not in str(caught.value).replace("entry 2", "").replace("32", "")
        with pytest.raises(SecretUnreadable):
            sealing.open(token)


def test_bytes_are_a_key_too():
    with own_keys(NEW.encode()), override_settings(SECRET_KEY=b"bytes", SECRET_KEY_FALLBACKS=[]):
        assert sealing.open(sealing.seal(SECRET)) == SECRET
