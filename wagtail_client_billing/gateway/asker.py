"""On whose behalf Stripe is asked."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asker:
    """Who or what made us ask; goes into the log."""

    cause: str
    user: Any = None
    evidence: dict[str, Any] | None = None

    @property
    def log(self) -> dict[str, Any]:
        """As the lifecycle's functions take it."""
        return {"cause": self.cause, "user": self.user, "evidence": self.evidence}
