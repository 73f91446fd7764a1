"""Answers each call on stdin (as the vectors write it) with its key in hexadecimal."""

import json
import sys

from tests.vectors import call_of
from veritas.keys import call_key

for line in sys.stdin:
    call = json.loads(line)
    function, values = call_of(call)
    print(call_key(function, values, name=call["name"], version=call["version"]).hex())
