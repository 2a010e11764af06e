"""What the API refuses, in Stripe's shape and, as far as known, in Stripe's words."""

from __future__ import annotations

from typing import Any


class ApiProblem(Exception):
    """An error answer. ``kept`` says whether an idempotency key remembers it.

    Stripe remembers an answer once the work began: a validation error, a refused key and a rate
    limit are forgotten, so the same key may be used again.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str = "",
        param: str = "",
        kept: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.kept = kept

    def as_body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"message": self.message, "type": self.type}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param:
            error["param"] = self.param
        return {"error": error}


def masked(key: str) -> str:
    """A key as error messages show it: its prefix and its last four characters."""
    prefix = "_".join(key.split("_")[:2])[:8]
    return f"{prefix}_{'*' * 12}{key[-4:]}" if len(key) > 12 else "*" * len(key)


def missing(param: str) -> ApiProblem:
    return ApiProblem(f"Missing required param: {param}.", code="parameter_missing", param=param)


def unknown_parameter(param: str) -> ApiProblem:
    return ApiProblem(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)


def not_found(kind: str, id: str, param: str = "id") -> ApiProblem:
    return ApiProblem(f"No such {kind}: '{id}'", status=404, code="resource_missing", param=param)


def unknown_url(method: str, path: str) -> ApiProblem:
    return ApiProblem(
        f"Unrecognized request URL ({method}: {path}). Either Stripe does not have it, or this "
        "sandbox does not know it.",
        status=404,
    )


def no_key() -> ApiProblem:
    return ApiProblem(
        "You did not provide an API key. You need to provide your API key in the Authorization "
        "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        status=401,
    )


def bad_key(key: str) -> ApiProblem:
    return ApiProblem(f"Invalid API Key provided: {masked(key)}", status=401)


def revoked_key(key: str) -> ApiProblem:
    return ApiProblem(
        f"Expired API Key provided: {masked(key)}", status=401, code="api_key_expired"
    )


def no_right(key: str, account: str, right: str) -> ApiProblem:
    return ApiProblem(
        f"The provided key '{masked(key)}' does not have the required permissions for this "
        f"endpoint on account '{account}'. Having the 'rak_{right}' permission would allow this "
        "request to continue.",
        status=403,
    )


def no_access(key: str, account: str) -> ApiProblem:
    return ApiProblem(
        f"The provided key '{masked(key)}' does not have access to account '{account}' (or that "
        "account does not exist). Application access may have been revoked.",
        status=403,
        code="account_invalid",
    )
