"""What libCacheSim makes of a trace: the misses of LRU at each size.

Usage: cache_oracle.py TRACE SIZE...
TRACE holds records of the format oracleGeneral; sizes are in the unit of its sizes.
Prints one line `SIZE MISSES REQUESTS` for each.
"""

import struct
import sys

try:
    import libcachesim
except ImportError as error:
    sys.exit(f"libcachesim is missing ({error})\nhint: cargo xtask prove oracle")


def main() -> None:
    trace, sizes = sys.argv[1], [int(size) for size in sys.argv[2:]]
    with open(trace, "rb") as file:
        records = list(struct.iter_unpack("<IQIq", file.read()))
    for size in sizes:
        cache = libcachesim.LRU(cache_size=size)
        request = libcachesim.Request()
        misses = 0
        for time, key, weight, _ in records:
            request.clock_time = time
            request.obj_id = key
            request.obj_size = weight
            misses += not cache.get(request)
        print(size, misses, len(records))


main()
