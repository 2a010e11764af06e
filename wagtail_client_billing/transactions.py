"""No network call inside a database transaction."""

from django.db import transaction


def outside_transaction() -> None:
    """Raises ``RuntimeError`` inside a database transaction, other than a test case's own.

    A call to Stripe or to a mail server there would hold locks for as long as they like to take.
    """
    blocks = transaction.get_connection().atomic_blocks
    if any(not getattr(block, "_from_testcase", False) for block in blocks):
        raise RuntimeError("No network call may be made inside a database transaction.")
