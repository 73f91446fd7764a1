"""Keys: the vectors, refusals, binding, and random pairs of values."""

import collections
import dataclasses
import datetime
import decimal
import doctest
import enum
import functools
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import typing
import unittest
import uuid
import zoneinfo

from tests.vectors import call_of, value_of
from veritas import keys
from veritas.keys import KeyRefused, call_key, call_part, encode, explicit_key

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "docs/reference/cache-keys.json").read_text())


class Color(enum.Enum):
    RED = 1


class Shade(str, enum.Enum):
    RED = "red"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Pair(typing.NamedTuple):
    x: int
    y: int


class Markup(str):
    pass


class Account:
    def __init__(self, number):
        self.number = number

    def __veritas_key__(self):
        return self.number

    def balance(self, day):
        ...


def page(user_id, section="home", *more, limit=10, **filters):
    ...


class TheFormat(unittest.TestCase):
    def test_values_are_encoded_as_the_vectors_say(self):
        self.assertGreater(len(VECTORS["values"]), 40)
        for vector in VECTORS["values"]:
            self.assertEqual(encode(value_of(vector["value"])).hex(), vector["part"], vector)

    def test_calls_have_the_keys_of_the_vectors(self):
        self.assertGreater(len(VECTORS["calls"]), 5)
        for vector in VECTORS["calls"]:
            function, values = call_of(vector)
            key = call_key(function, values, name=vector["name"], version=vector["version"])
            self.assertEqual(key.hex(), vector["key"], vector)

    def test_what_only_python_has_is_encoded_too(self):
        for value, expected in [
            (2**200, "021a01" + "00" * 25),
            (decimal.Decimal("-0"), "0e03000200"),
            (decimal.Decimal("NaN"), "0e07034e614e"),
            (decimal.Decimal("-Infinity"), "0e07092d496e66696e697479"),
            (bytearray(b"a"), "080161"),
            ("\ud800", "0703eda080"),
            (frozenset({1}), "0c01020101"),
        ]:
            self.assertEqual(encode(value).hex(), expected, value)

    def test_the_order_of_sets_dicts_and_fields_does_not_matter(self):
        self.assertEqual(encode({"a": 1, "b": 2}), encode({"b": 2, "a": 1}))
        self.assertEqual(encode({"x", "y", "z"}), encode({"z", "y", "x"}))

    def test_keys_do_not_depend_on_the_salt_of_hash(self):
        program = "from veritas.keys import encode; print(encode([{'a', 'b', 'c'}, {'x': 1, 'y': {2, 3}}]).hex())"
        answers = set()
        for seed in ("0", "1", "4242"):
            environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "python")}
            answers.add(subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True).stdout)
        self.assertEqual(len(answers), 1)

    def test_examples_in_the_documentation_hold(self):
        self.addCleanup(keys._registered.clear)
        failed, tried = doctest.testmod(keys)
        self.assertEqual((failed, tried > 2), (0, True))


class Identity(unittest.TestCase):
    def test_types_describe_themselves_by_name_and_fields(self):
        module = __name__
        self.assertEqual(encode(Color.RED), b"\x15" + keys._name(f"{module}.Color") + encode("RED"))
        self.assertNotEqual(encode(Shade.RED), encode("red"))
        self.assertNotEqual(encode(Access.READ | Access.WRITE), encode(Access.READ))
        self.assertNotEqual(encode(Point(1, 2)), encode(Point(2, 1)))
        self.assertNotEqual(encode(Pair(1, 2)), encode((1, 2)))
        self.assertEqual(encode(Account(7)), encode(Account(7)))
        self.assertNotEqual(encode(Account(7)), encode(7))

    def test_a_zone_is_part_of_the_time(self):
        berlin = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
        same = berlin.astimezone(datetime.timezone.utc)
        self.assertEqual(berlin, same)
        self.assertNotEqual(encode(berlin), encode(same))
        autumn = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
        self.assertNotEqual(encode(autumn), encode(autumn.replace(fold=1)))

    def refused(self, value, *words):
        with self.assertRaises(KeyRefused) as caught:
            encode(value)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_what_has_no_identity_is_refused_with_what_to_do(self):
        self.refused(object(), "builtins.object", "ignore=", "__veritas_key__", "register")
        self.refused([object()], "builtins.object")
        self.refused(lambda: 1, "builtins.function")
        self.refused(Markup("x"), "subclass of str", "str(value)")
        self.refused(collections.OrderedDict(a=1), "subclass of dict")
        self.refused(complex(1, 2), "builtins.complex")
        self.refused(datetime.time(1, tzinfo=datetime.timezone.utc), "datetime")

        class Zone(datetime.tzinfo):
            def utcoffset(self, _):
                return datetime.timedelta(hours=1)

        Zone.__veritas_type__ = "Zone"
        self.refused(datetime.datetime(2024, 1, 1, tzinfo=Zone()), "zoneinfo")

        class Inner(enum.Enum):
            ONE = 1

        self.refused(Inner.ONE, "<locals>", "__veritas_type__")
        endless = []
        endless.append(endless)
        self.refused(endless, "hold itself")

    def test_a_foreign_type_is_registered(self):
        self.addCleanup(keys._registered.clear)
        path = pathlib.PurePosixPath("/a")
        self.refused(path, "register")
        keys.register(pathlib.PurePosixPath, str, name="path")
        self.assertEqual(encode(path), b"\x15\x04path" + encode("/a"))


class Calls(unittest.TestCase):
    def test_one_call_has_one_key_however_it_is_written(self):
        written = [
            ((1,), {}),
            ((1, "home"), {}),
            ((), {"user_id": 1}),
            ((1,), {"section": "home", "limit": 10}),
            ((), {"limit": 10, "section": "home", "user_id": 1}),
        ]
        self.assertEqual(len({call_key(page, args, kwargs) for args, kwargs in written}), 1)

    def test_calls_that_differ_have_keys_that_differ(self):
        written = [
            ((1,), {}),
            (("1",), {}),
            ((1.0,), {}),
            ((True,), {}),
            ((None,), {}),
            (("None",), {}),
            (("a b",), {}),
            (("a", "b"), {}),
            (("a:b",), {}),
            (([1],), {}),
            (((1,),), {}),
            ((1, "home", 2), {}),
            ((1, "home", 2, 3), {}),
            ((1,), {"limit": 11}),
            ((1,), {"color": "red"}),
            ((1,), {"colour": "red"}),
        ]
        self.assertEqual(len({call_key(page, args, kwargs) for args, kwargs in written}), len(written))

    def test_name_version_and_namespace_count(self):
        one = call_key(page, (1,))
        self.assertTrue(one.startswith(b"\x01" + keys._name(f"{__name__}.page")))
        self.assertNotEqual(one, call_key(page, (1,), version=1))
        self.assertNotEqual(one, call_key(page, (1,), name="page"))
        for name in ("fifty", "a"):
            self.assertEqual(explicit_key(name, 1, "a")[1:], keys._name(name) + b"\x0d\x00\x01\x02()" + encode((1, "a")))

    def test_arguments_are_left_out_by_name(self):
        account = Account(7)
        self.assertEqual(
            call_part(page, (1,), {"section": account}, ignore=["section"]), call_part(page, (1,), ignore=["section"])
        )
        with self.assertRaisesRegex(ValueError, "sesion"):
            call_part(page, (1,), ignore=["sesion"])
        self.assertEqual(call_part(Account.balance, (account, 3)), call_part(Account.balance, (Account(7), 3)))

    def test_a_refusal_names_the_argument(self):
        with self.assertRaisesRegex(KeyRefused, "argument 'section'.*ignore="):
            call_key(page, (1, object()))
        for nameless in (lambda: 1, functools.partial(page, 1)):
            with self.assertRaisesRegex(KeyRefused, "name="):
                call_key(nameless, ())
        with self.assertRaises(TypeError):
            call_key(page, ())


def twin(value):
    """Returns a text that two values share exactly when they are one, made without the encoder."""
    kind = type(value)
    if kind in (list, tuple):
        return f"{kind.__name__}[{','.join(map(twin, value))}]"
    if kind is dict:
        return "dict[" + ",".join(sorted(f"{twin(key)}={twin(part)}" for key, part in value.items())) + "]"
    if kind in (set, frozenset):
        return "set[" + ",".join(sorted(map(twin, value))) + "]"
    if kind is float and math.isnan(value):
        return "float:nan"
    if kind is str:
        return "str:" + value.encode("utf-8", "surrogatepass").hex()
    return f"{kind.__name__}:{value!r}"


class Random:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def scalar(self):
        choose = self.random
        return choose.choice(
            [
                lambda: choose.randint(-2, 2),
                lambda: choose.randint(-(2**70), 2**70),
                lambda: choose.choice([0.0, -0.0, 1.0, 0.1, math.inf, math.nan]),
                lambda: choose.random() < 0.5,
                lambda: None,
                lambda: "".join(choose.choices(["", "a", "1", ":", "None", "\0", "é"], k=choose.randint(0, 3))),
                lambda: bytes(choose.choices(b"a1\0", k=choose.randint(0, 3))),
                lambda: decimal.Decimal(choose.choice(["1", "1.0", "1E+2", "-0", "100", "NaN"])),
                lambda: uuid.UUID(int=choose.randint(0, 2)),
                lambda: datetime.date(2024, 1, 1) + datetime.timedelta(days=choose.randint(0, 2)),
                lambda: datetime.datetime(2024, 1, 1, choose.randint(0, 1)),
                lambda: datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=choose.randint(0, 1)))),
                lambda: datetime.timedelta(microseconds=choose.randint(-2, 2)),
            ]
        )()

    def value(self, depth=2):
        if depth == 0 or self.random.random() < 0.6:
            return self.scalar()
        parts = [self.value(depth - 1) for _ in range(self.random.randint(0, 3))]
        kind = self.random.choice([list, tuple, dict, set])
        if kind is dict:
            return {self.random.choice("abc"): part for part in parts}
        if kind is set:
            return {self.random.choice(["a", "b", b"a", 1, 2, None]) for _ in parts}
        return kind(parts)


class Properties(unittest.TestCase):
    def test_two_values_have_one_key_exactly_when_they_are_one(self):
        made = Random(1)
        same = 0
        for number in range(100_000):
            one = made.value()
            other = one if number % 3 == 0 else made.value()
            is_one = twin(one) == twin(other)
            same += is_one
            self.assertEqual(encode(one) == encode(other), is_one, (one, other))
        self.assertTrue(10_000 < same < 90_000, same)


if __name__ == "__main__":
    unittest.main()
