"""The whole suite as ``make test`` runs it: on SQLite, then what needs PostgreSQL on it.

    python -m tests [arguments for pytest]

``DATABASE_URL`` puts all of it on that database, in one run. ``WCB_POSTGRES_URL`` says where to
look for PostgreSQL; 127.0.0.1:5432 if unset.
"""

import os
import subprocess
import sys
from urllib.parse import urlsplit

POSTGRES = os.environ.get("WCB_POSTGRES_URL") or "postgres://postgres@127.0.0.1:5432/postgres"
NOTHING_COLLECTED = 5


def main(arguments: list[str]) -> int:
    if os.environ.get("DATABASE_URL"):
        return pytest(arguments)
    if "-m" in arguments:
        return pytest(arguments)
    results = [pytest(["-m", "not postgres", *arguments])]
    where = urlsplit(POSTGRES)
    if postgres_answers():
        print(f"\nNow the tests that need PostgreSQL, on {where.hostname}:{where.port or 5432}")
        # These few may well speak to the sandbox or not: the demand is on the whole.
        environment = {"DATABASE_URL": POSTGRES, "WCB_REQUIRE_EXCHANGES": ""}
        result = pytest(["-m", "postgres", *arguments], **environment)
        results.append(0 if result == NOTHING_COLLECTED else result)
    else:
        print(f"\nskipped: tests that need PostgreSQL ({where.hostname} does not answer)")
        if "postgres" in os.environ.get("WCB_REQUIRE", "").split():
            print("which this run demands")
            results.append(1)
    return next((result for result in results if result), 0)


def pytest(arguments: list[str], **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}).returncode


def postgres_answers() -> bool:
    import psycopg

    try:
        with psycopg.connect(POSTGRES, connect_timeout=3):
            return True
    except psycopg.OperationalError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
