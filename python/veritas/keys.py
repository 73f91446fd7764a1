"""Cache keys: one canonical encoding of typed values, the same bytes as in Rust.

The format is described in ``docs/reference/cache-keys.md``, with test vectors in
``cache-keys.json`` beside it. A value is encoded by its type: ``1``, ``1.0``,
``"1"`` and ``True`` are four keys. What has no stable identity (an object with the
default ``repr``, a function, a subclass that nobody described) is refused with a
:class:`KeyRefused` that says what to do, and never encoded by accident.

Nothing here depends on ``hash()``, on the order of sets or dicts, or on the process.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import math
import struct
import uuid
import zoneinfo
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

__all__ = ["KeyRefused", "call_key", "call_part", "encode", "explicit_key", "function_name", "register"]

VERSION = 1

_FALSE, _TRUE = b"\x00", b"\x01"
_NON_NEGATIVE, _NEGATIVE = b"\x02", b"\x03"
_FLOAT, _NOTHING = b"\x04", b"\x05"
_TEXT, _BYTES = b"\x07", b"\x08"
_SEQUENCE, _TUPLE, _MAP, _SET = b"\x09", b"\x0a", b"\x0b", b"\x0c"
_CALL, _DECIMAL, _UUID = b"\x0d", b"\x0e", b"\x0f"
_DATE, _TIME_OF_DAY, _DATE_TIME, _ZONED, _DURATION = b"\x10", b"\x11", b"\x12", b"\x13", b"\x14"
_ENUMERATION, _RECORD = b"\x15", b"\x16"

_NAN = bytes.fromhex("7ff8000000000000")
_UTC_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_LOCAL_EPOCH = datetime.datetime(1970, 1, 1)
_MICROSECOND = datetime.timedelta(microseconds=1)

#: Values nested deeper than this are refused: most likely one holds itself.
MAX_DEPTH = 64


class KeyRefused(TypeError):
    """Raised for a value without a stable identity; the message says what to do."""


# -- parts ---------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """Returns the encoded part.

    Raises :class:`KeyRefused` for a value without a stable identity.
    """
    return _encode(value, 0)


def _encode(value: Any, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise KeyRefused(f"a value is nested deeper than {MAX_DEPTH} levels; does it hold itself?")
    kind = type(value)
    encoder = _ENCODERS.get(kind)
    if encoder is not None:
        return encoder(value, depth + 1)
    registered = _registered.get(kind)
    if registered is not None:
        name, function = registered
        return _ENUMERATION + _name(name) + _encode(function(value), depth + 1)
    own = getattr(kind, "__veritas_key__", None)
    if own is not None:
        return _ENUMERATION + _name(_type_name(kind)) + _encode(own(value), depth + 1)
    if isinstance(value, enum.Flag):
        return _ENUMERATION + _name(_type_name(kind)) + _integer(value.value, depth)
    if isinstance(value, enum.Enum):
        return _ENUMERATION + _name(_type_name(kind)) + _text(value.name, depth)
    if isinstance(value, zoneinfo.ZoneInfo) and value.key is not None:
        return _ENUMERATION + _name("zoneinfo.ZoneInfo") + _text(value.key, depth)
    fields = _fields(value, kind)
    if fields is not None:
        parts = ((name, _encode(part, depth + 1)) for name, part in fields)
        return _RECORD + _name(_type_name(kind)) + _named(parts)
    raise _refusal(kind)


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    out = bytearray()
    while length >= 0x80:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)


def _name(name: str) -> bytes:
    encoded = name.encode("utf-8", "surrogatepass")
    return _length(len(encoded)) + encoded


def _named(parts: Iterable[tuple[str, bytes]]) -> bytes:
    encoded = sorted((name.encode("utf-8", "surrogatepass"), part) for name, part in parts)
    return _length(len(encoded)) + b"".join(_length(len(name)) + name + part for name, part in encoded)


def _boolean(value: bool, _depth: int) -> bytes:
    return _TRUE if value else _FALSE


def _integer(value: int, _depth: int) -> bytes:
    magnitude = -value if value < 0 else value
    size = (magnitude.bit_length() + 7) // 8
    tag = _NEGATIVE if value < 0 else _NON_NEGATIVE
    return tag + _length(size) + magnitude.to_bytes(size, "big")


def _float(value: float, _depth: int) -> bytes:
    return _FLOAT + (_NAN if math.isnan(value) else struct.pack(">d", value))


def _nothing(_value: None, _depth: int) -> bytes:
    return _NOTHING


def _text(value: str, _depth: int) -> bytes:
    # A lone surrogate has no UTF-8; Python's own extension of it keeps such texts apart.
    encoded = value.encode("utf-8", "surrogatepass")
    return _TEXT + _length(len(encoded)) + encoded


def _bytes(value: bytes | bytearray | memoryview, _depth: int) -> bytes:
    encoded = bytes(value)
    return _BYTES + _length(len(encoded)) + encoded


def _sequence(value: list[Any], depth: int) -> bytes:
    return _SEQUENCE + _length(len(value)) + b"".join(_encode(part, depth) for part in value)


def _tuple(value: tuple[Any, ...], depth: int) -> bytes:
    return _TUPLE + _length(len(value)) + b"".join(_encode(part, depth) for part in value)


def _map(value: Mapping[Any, Any], depth: int) -> bytes:
    # A part tells where it ends, so ordering whole pairs orders them by key.
    pairs = sorted(_encode(key, depth) + _encode(part, depth) for key, part in value.items())
    return _MAP + _length(len(pairs)) + b"".join(pairs)


def _set(value: Collection[Any], depth: int) -> bytes:
    parts = sorted(_encode(part, depth) for part in value)
    return _SET + _length(len(parts)) + b"".join(parts)


def _decimal(value: decimal.Decimal, depth: int) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        word = {"F": "Infinity", "n": "NaN", "N": "sNaN"}[exponent]
        payload = "" if exponent == "F" else "".join(map(str, digits))
        return _DECIMAL + _text(("-" if sign else "") + word + payload, depth)
    mantissa = int("".join(map(str, digits)) or "0") if len(digits) < 4_000 else _long(digits)
    size = (mantissa.bit_length() + 7) // 8
    # The sign is of the written form: -0 is negative.
    tag = _NEGATIVE if sign else _NON_NEGATIVE
    return _DECIMAL + tag + _length(size) + mantissa.to_bytes(size, "big") + _integer(exponent, depth)


def _long(digits: Iterable[int]) -> int:
    # int() refuses texts of more than 4,300 digits.
    number = 0
    for digit in digits:
        number = number * 10 + digit
    return number


def _uuid(value: uuid.UUID, _depth: int) -> bytes:
    return _UUID + value.bytes


def _date(value: datetime.date, depth: int) -> bytes:
    return _DATE + _integer(value.toordinal() - 719_163, depth)


def _time(value: datetime.time, depth: int) -> bytes:
    if value.tzinfo is not None:
        raise KeyRefused(
            "a time of day with a zone has no stable identity (its offset depends on the day); "
            "pass a datetime, or the time and the zone's name"
        )
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return _TIME_OF_DAY + _integer((seconds * 1_000_000 + value.microsecond) * 1_000, depth)


def _datetime(value: datetime.datetime, depth: int) -> bytes:
    zone = value.tzinfo
    if zone is None:
        return _DATE_TIME + _integer((value - _LOCAL_EPOCH) // _MICROSECOND * 1_000, depth)
    nanoseconds = _integer((value - _UTC_EPOCH) // _MICROSECOND * 1_000, depth)
    offset = value.utcoffset() or datetime.timedelta()
    seconds, rest = divmod(offset // _MICROSECOND, 1_000_000)
    if rest:
        raise KeyRefused("an offset from UTC with a fraction of a second is not supported; round it")
    return _ZONED + nanoseconds + _integer(seconds, depth) + _zone(zone, depth)


def _zone(zone: datetime.tzinfo, depth: int) -> bytes:
    kind = type(zone)
    if kind is datetime.timezone:
        named = zone.__getinitargs__()[1:]  # type: ignore[attr-defined]
        return _text(named[0], depth) if named else _NOTHING
    if kind is zoneinfo.ZoneInfo and zone.key is not None:  # type: ignore[attr-defined]
        return _text(zone.key, depth)  # type: ignore[attr-defined]
    raise KeyRefused(
        f"a datetime with a zone of type {_type_name(kind)} has no stable identity; "
        "use datetime.timezone or zoneinfo.ZoneInfo, or convert it: value.astimezone(datetime.timezone.utc)"
    )


def _duration(value: datetime.timedelta, depth: int) -> bytes:
    return _DURATION + _integer(value // _MICROSECOND * 1_000, depth)


_ENCODERS: dict[type, Callable[[Any, int], bytes]] = {
    bool: _boolean,
    int: _integer,
    float: _float,
    type(None): _nothing,
    str: _text,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    list: _sequence,
    tuple: _tuple,
    dict: _map,
    set: _set,
    frozenset: _set,
    decimal.Decimal: _decimal,
    uuid.UUID: _uuid,
    datetime.date: _date,
    datetime.time: _time,
    datetime.datetime: _datetime,
    datetime.timedelta: _duration,
}


# -- types that describe themselves ----------------------------------------------

_registered: dict[type, tuple[str, Callable[[Any], Any]]] = {}


def register(kind: type, identity: Callable[[Any], Any], name: str | None = None) -> None:
    """Says what makes a value of a foreign type itself.

    >>> import pathlib
    >>> register(pathlib.PurePosixPath, str, name="path")
    >>> encode(pathlib.PurePosixPath("/a")).hex()
    '15047061746807022f61'

    Types of your own define ``__veritas_key__(self)`` instead, and may set
    ``__veritas_type__`` to a name that does not change when the class moves.
    """
    _registered[kind] = (_type_name(kind) if name is None else name, identity)


def _fields(value: Any, kind: type) -> list[tuple[str, Any]] | None:
    if dataclasses.is_dataclass(kind):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return list(zip(kind._fields, value, strict=True))
    attrs = getattr(kind, "__attrs_attrs__", None)
    if attrs is not None:
        return [(attribute.name, getattr(value, attribute.name)) for attribute in attrs]
    # A model of pydantic 2: what was declared, and what was given beyond that.
    if isinstance(getattr(kind, "__pydantic_fields__", None), dict):
        extra = getattr(value, "__pydantic_extra__", None) or {}
        declared = [(name, getattr(value, name)) for name in kind.__pydantic_fields__]
        return declared + [(name, part) for name, part in extra.items() if name not in kind.__pydantic_fields__]
    return None


def _type_name(kind: type) -> str:
    own = kind.__dict__.get("__veritas_type__")
    if own is not None:
        return str(own)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__ == "__main__" or "<locals>" in name:
        raise KeyRefused(
            f"the type {name} has no name that other processes know; move it to the top level of a "
            "module, or set __veritas_type__ = \"...\" on it"
        )
    return name


def _refusal(kind: type) -> KeyRefused:
    name = f"{kind.__module__}.{kind.__qualname__}"
    base = next((base for base in kind.__mro__[1:] if base in _ENCODERS), None)
    if base is not None:
        return KeyRefused(
            f"{name} is a subclass of {base.__name__}, and what is made of it may differ: "
            f"pass {base.__name__}(value), define __veritas_key__(self) on it, "
            "or call veritas.keys.register(type, function)"
        )
    return KeyRefused(
        f"a value of type {name} has no stable identity: leave its argument out with ignore=, pass what "
        "identifies it (an id, a name), define __veritas_key__(self) on the type, "
        "or call veritas.keys.register(type, function)"
    )


# -- calls ---------------------------------------------------------------------


def function_name(function: Callable[..., Any]) -> str:
    """Returns the name under which a function's results are shared: its module and
    qualified name. Functions without one that other processes know (lambdas, inner
    functions, partials, those of ``__main__``) are refused.
    """
    qualified = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if qualified is None or module in (None, "__main__") or "<" in qualified:
        raise KeyRefused(
            f"{function!r} has no name that other processes know; give it one: name=\"...\""
        )
    return f"{module}.{qualified}"


def call_part(
    function: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    ignore: Collection[str] = (),
    version: int = 0,
) -> bytes:
    """Returns the encoded call: arguments bound to the signature, defaults applied,
    by name. ``f(1)``, ``f(a=1)`` and ``f(1, b=2)`` are one call where ``b=2`` is the default.

    Raises :class:`KeyRefused` that names the argument; ``TypeError`` when the
    function cannot be called so; ``ValueError`` when ``ignore`` names no argument.
    """
    signature = inspect.signature(function)
    unknown = [name for name in ignore if name not in signature.parameters]
    if unknown:
        raise ValueError(f"ignore= names {unknown[0]!r}, which is no argument of {function!r}")
    bound = signature.bind(*args, **(kwargs or {}))
    bound.apply_defaults()
    parts = []
    for name, value in bound.arguments.items():
        if name in ignore:
            continue
        try:
            parts.append((name, encode(value)))
        except KeyRefused as refused:
            raise KeyRefused(f"argument {name!r}: {refused}") from None
    return _CALL + _length(_version(version)) + _named(parts)


def call_key(
    function: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    ignore: Collection[str] = (),
    version: int = 0,
) -> bytes:
    """Returns the whole key of a call: the bytes that every process and language
    computes for it.

    >>> def user(user_id, section="home"): ...
    >>> call_key(user, (7,), name="user").hex()
    '0104757365720d00020773656374696f6e0704686f6d6507757365725f6964020107'
    """
    namespace = function_name(function) if name is None else name
    part = call_part(function, args, kwargs, ignore=ignore, version=version)
    return _whole(namespace, part)


def explicit_key(name: str, *parts: Any, version: int = 0) -> bytes:
    """Returns the whole key of a call whose key is said explicitly, as
    ``#[cached(name = "...", key(part, ...))]`` does in Rust: no arguments, these parts.
    """
    return _whole(name, _CALL + _length(_version(version)) + _named([("()", encode(parts))]))


def _whole(namespace: str, part: bytes) -> bytes:
    return bytes((VERSION,)) + _name(namespace) + part


def _version(version: int) -> int:
    if not 0 <= version < 2**32:
        raise ValueError("version= is a number from 0 to 4294967295")
    return version
