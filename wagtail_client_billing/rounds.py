"""One run of a task over one service that may be out of order."""

from dataclasses import dataclass

FAILURES_IN_A_ROW = 3


@dataclass
class Round:
    """Counts failures in a row to reach a service; with three of them its share is over.

    One outage then costs three time-outs and not one for every row that is due.
    """

    failures: int = 0

    def note(self, reached: bool) -> None:
        """Notes whether the service answered."""
        self.failures = 0 if reached else self.failures + 1

    @property
    def over(self) -> bool:
        return self.failures >= FAILURES_IN_A_ROW
