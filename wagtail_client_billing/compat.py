"""Where Wagtail's supported versions differ, and nothing else.

Wagtail 8.0 has a registry of permission policies; 7.4 asks the view, the viewset or, for
settings, the model.
"""

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
