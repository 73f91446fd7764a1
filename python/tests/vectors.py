"""Values as the test vectors write them: one JSON object that names the type."""

import dataclasses
import datetime
import decimal
import enum
import struct
import uuid
import zoneinfo

_EPOCH = datetime.datetime(1970, 1, 1)
_ZONED_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def value_of(written):
    """Returns the Python value of ``{"type": ...}``."""
    ((kind, content),) = written.items()
    return _READERS[kind](content)


def call_of(vector):
    """Returns a function whose call has the vector's arguments, and these."""
    names = [name for name, _ in vector["arguments"]]
    namespace = {}
    exec(f"def function({', '.join(names)}): ...", namespace)
    values = tuple(value_of(written) for _, written in vector["arguments"])
    return namespace["function"], values


def _microseconds(nanoseconds):
    whole, rest = divmod(int(nanoseconds), 1_000)
    assert rest == 0, "Python counts microseconds"
    return datetime.timedelta(microseconds=whole)


def _zoned(content):
    nanoseconds, offset, zone = content
    instant = _ZONED_EPOCH + _microseconds(nanoseconds)
    if zone is None:
        return instant.astimezone(datetime.timezone(datetime.timedelta(seconds=offset)))
    value = instant.astimezone(zoneinfo.ZoneInfo(zone))
    assert value.utcoffset() == datetime.timedelta(seconds=offset)
    return value


def _enumeration(content):
    kind, member = content
    return enum.Enum(kind, {member: 1, "__veritas_type__": kind})[member]


def _record(content):
    kind, fields = content
    made = dataclasses.make_dataclass("Record", [name for name, _ in fields])
    made.__veritas_type__ = kind
    return made(*(value_of(written) for _, written in fields))


_READERS = {
    "bool": lambda content: content,
    "int": int,
    "float": lambda content: struct.unpack(">d", bytes.fromhex(content))[0],
    "nothing": lambda content: None,
    "text": lambda content: content,
    "bytes": bytes.fromhex,
    "list": lambda content: [value_of(one) for one in content],
    "tuple": lambda content: tuple(value_of(one) for one in content),
    "map": lambda content: {value_of(key): value_of(part) for key, part in content},
    "set": lambda content: {value_of(one) for one in content},
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
    "date": lambda content: datetime.date(1970, 1, 1) + datetime.timedelta(days=content),
    "time": lambda content: (_EPOCH + _microseconds(content)).time(),
    "datetime": lambda content: _EPOCH + _microseconds(content),
    "zoned": _zoned,
    "duration": _microseconds,
    "enumeration": _enumeration,
    "record": _record,
}

