"""Where Wagtail's supported versions differ, or may differ tomorrow, and nothing else.

Wagtail 8.0 has a registry of permission policies; 7.4 asks the view, the viewset or, for
settings, the model. No version has a hook for the avatar menu (wagtail/wagtail#12284).
"""

import inspect
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

try:
    from wagtail.permissions import register_permission_policy as _register
except ImportError:  # Wagtail 7.4
    _register = None


def register_permission_policy(model: type, policy: Any) -> Any:
    """Makes the policy the one that Wagtail asks about this model; returns it.

    Has to happen before anything asks Wagtail 8.0 for it, which would then keep a policy of its
    own making.
    """
    if _register is not None:
        _register(model, policy)
    return policy


def set_setting_policy(model: Any, policy: Any) -> None:
    """Makes the policy that of a settings model; call before ``register_setting``.

    ``get_permission_policy`` is what Wagtail 7.4 asks on every request, and what 8.0 asks once,
    when the setting is registered.
    """
    model.get_permission_policy = classmethod(lambda cls: policy)


logger = logging.getLogger(__name__)

# Of ``MainMenuModule.__init__`` in 7.4, 8.0 and 8.1.
KNOWN_PARAMETERS = ["self", "menu_items", "account_menu_items", "user"]
PATCHED = "_client_billing_patch"


def add_account_menu_item(build: Callable[[Any], dict[str, Any] | None]) -> bool:
    """Puts an entry between *Account* and *Log out* in the avatar menu.

    ``build(user)`` gives the keyword arguments of a ``LinkMenuItem``, or None for who has no such
    entry. Changes nothing and returns False, with one warning, where the class is not the one we
    know: the entry is then only on the account page and in the Settings menu.
    """
    try:
        from wagtail.admin.ui import sidebar

        link_menu_item = sidebar.LinkMenuItem
        original = sidebar.MainMenuModule.__init__
        parameters = list(inspect.signature(original).parameters)
    except (ImportError, AttributeError, TypeError, ValueError):
        parameters = []
    if parameters != KNOWN_PARAMETERS:
        logger.warning("This Wagtail has an unknown avatar menu; our entry is left out of it.")
        return False
    if getattr(original, PATCHED, False):
        return True

    @wraps(original)
    def __init__(self: Any, menu_items: Any, account_menu_items: Any, user: Any) -> None:
        items = account_menu_items
        try:
            entry = build(user)
            if entry is not None:
                first, *rest = account_menu_items
                items = [first, link_menu_item(**entry), *rest]
        except Exception:
            # The menu is on every page of the admin: our entry must never take one down.
            logger.exception("The entry in the avatar menu could not be built")
        original(self, menu_items, items, user)

    setattr(__init__, PATCHED, True)
    sidebar.MainMenuModule.__init__ = __init__
    return True
