"""Form-encoded parameters with brackets, decoded and checked as Stripe does.

``decode`` makes nested dicts of strings; a checker turns one decoded value into its typed value
or raises an ``ApiProblem`` that names the parameter (``line_items[0][price_data][currency]``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from .problems import ApiProblem, missing, unknown_parameter

Checker = Callable[[Any, str], Any]

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>.]+|[^@\s<>]+@localhost")
MAX_METADATA_KEYS, MAX_METADATA_KEY, MAX_METADATA_VALUE = 50, 40, 500


def decode(raw: str) -> dict[str, Any]:
    """``a[b][0]=1`` → ``{"a": {"b": {"0": "1"}}}``: lists stay dicts with digits as keys."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        match = _NAME.fullmatch(name)
        if not match:
            raise unknown_parameter(name)
        node = root
        parts = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        for position, part in enumerate(parts):
            key = part or str(len(node))  # a[]= is the next free place
            if position == len(parts) - 1:
                if isinstance(node.get(key), dict):
                    raise ApiProblem(f"Invalid parameter: {name}", param=name)
                node[key] = value
            else:
                inner = node.setdefault(key, {})
                if not isinstance(inner, dict):
                    raise ApiProblem(f"Invalid hash: {name}", param=name)
                node = inner
    return root


def decode_json(raw: str) -> dict[str, Any]:
    """The body of a v2 call; raises a 400 for what is no JSON object."""
    try:
        found = json.loads(raw or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ApiProblem("The body is not a JSON object.", code="invalid_json")
    return found


def fingerprint(raw: str, *, is_json: bool = False) -> str:
    """Equal for equal parameters, in whatever order they were sent."""
    pairs: Any = sorted(parse_qsl(raw, keep_blank_values=True))
    if is_json:
        pairs = json.dumps(decode_json(raw), sort_keys=True)
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def check(raw: Mapping[str, Any], spec: Mapping[str, Checker], required: Collection[str] = ()):
    """The typed parameters of a call; ``expand`` is always allowed."""
    return hash_of({"expand": array(string()), **spec}, required)(dict(raw), "")


def hash_of(spec: Mapping[str, Checker], required: Collection[str] = ()) -> Checker:
    def checker(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ApiProblem(f"Invalid hash: {name}", param=name)
        typed = {}
        for key, inner in value.items():
            inner_name = f"{name}[{key}]" if name else key
            if key not in spec:
                raise unknown_parameter(inner_name)
            typed[key] = spec[key](inner, inner_name)
        for key in required:
            if key not in typed:
                raise missing(f"{name}[{key}]" if name else key)
        return typed

    return checker


def array(item: Checker, *, longest: int = 1000) -> Checker:
    def checker(value: Any, name: str) -> list[Any]:
        if not isinstance(value, dict) or not all(key.isdigit() for key in value):
            raise ApiProblem("Invalid array", param=name)
        if len(value) > longest:
            raise ApiProblem(f"Too many entries in {name}", param=name)
        return [item(value[key], f"{name}[{key}]") for key in sorted(value, key=int)]

    return checker


def string(longest: int = 5000, *, may_be_empty: bool = False) -> Checker:
    def checker(value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise ApiProblem(f"Invalid string: {name}", param=name)
        if value == "" and not may_be_empty:
            raise ApiProblem(
                f"You passed an empty string for '{name}'. We assume empty values are an attempt "
                f"to unset a parameter; however '{name}' cannot be unset.",
                code="parameter_invalid_empty",
                param=name,
            )
        if len(value) > longest:
            raise ApiProblem(
                f"Invalid string: {value[:20]}…; must be at most {longest} characters",
                code="parameter_invalid_string_too_long",
                param=name,
            )
        return value

    return checker


def integer(lowest: int | None = None, highest: int | None = None) -> Checker:
    text = string()

    def checker(value: Any, name: str) -> int:
        written = text(value, name)
        if not re.fullmatch(r"-?[0-9]{1,18}", written):
            raise ApiProblem(
                f"Invalid integer: {written}", code="parameter_invalid_integer", param=name
            )
        number = int(written)
        if (lowest is not None and number < lowest) or (highest is not None and number > highest):
            bound = f"at least {lowest}" if lowest is not None and number < lowest else None
            raise ApiProblem(
                f"Invalid {name}: must be {bound or f'at most {highest}'}",
                code="parameter_invalid_integer",
                param=name,
            )
        return number

    return checker


def boolean(value: Any, name: str) -> bool:
    if value not in ("true", "false"):
        raise ApiProblem(f"Invalid boolean: {value}", param=name)
    return value == "true"


def choice(*allowed: str) -> Checker:
    text = string()

    def checker(value: Any, name: str) -> str:
        written = text(value, name)
        if written not in allowed:
            raise ApiProblem(f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)
        return written

    return checker


def url(value: Any, name: str) -> str:
    written = str(string()(value, name))
    if not re.match(r"https?://[^\s/?#\\@]+", written) or re.search(r"\s", written):
        raise ApiProblem("Not a valid URL", code="url_invalid", param=name)
    return written


def email(value: Any, name: str) -> str:
    written = str(string(800)(value, name))
    if not _EMAIL.fullmatch(written):
        raise ApiProblem(f"Invalid email address: {written}", code="email_invalid", param=name)
    return written


def metadata(value: Any, name: str) -> dict[str, str]:
    if value == "":
        return {}
    if not isinstance(value, dict):
        raise ApiProblem(f"Invalid hash: {name}", param=name)
    if len(value) > MAX_METADATA_KEYS:
        raise ApiProblem(
            f"You can have up to {MAX_METADATA_KEYS} metadata keys per object", param=name
        )
    text = string(MAX_METADATA_VALUE, may_be_empty=True)
    typed = {}
    for key, inner in value.items():
        if len(key) > MAX_METADATA_KEY:
            raise ApiProblem(
                f"Metadata keys must be up to {MAX_METADATA_KEY} characters", param=f"{name}[{key}]"
            )
        typed[key] = text(inner, f"{name}[{key}]")
    return {key: inner for key, inner in typed.items() if inner}  # "" unsets a key


def moment(value: Any, name: str) -> dict[str, int]:
    """A filter by time: a Unix time, or a hash of gt, gte, lt, lte."""
    if isinstance(value, dict):
        inner = integer()
        return dict(hash_of({"gt": inner, "gte": inner, "lt": inner, "lte": inner})(value, name))
    return {"equal": integer()(value, name)}


PAGING: dict[str, Checker] = {
    "limit": integer(1, 100),
    "starting_after": string(),
    "ending_before": string(),
}
