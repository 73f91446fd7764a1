"""The Python peers of the cache, measured: hits, batches, stampedes. Prints JSON."""

import argparse
import asyncio
import functools
import json
import multiprocessing
import statistics
import threading
import time

VALUE = "x" * 200


def median_of(rounds, measure):
    return statistics.median(measure() for _ in range(rounds))


# -- hits ----------------------------------------------------------------------


def sync_hit(call, times):
    call(7, "profile")

    def measure():
        start = time.perf_counter()
        for _ in range(times):
            call(7, "profile")
        return (time.perf_counter() - start) / times * 1e9

    return median_of(7, measure)


async def async_hit(call, times):
    await call(7, "profile")
    rounds = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(times):
            await call(7, "profile")
        rounds.append((time.perf_counter() - start) / times * 1e9)
    return statistics.median(rounds)


def hits():
    import aiocache
    import cachetools
    from cashews import Cache
    from dogpile.cache import make_region

    def body(user_id, section):
        return VALUE

    async def body_async(user_id, section):
        return VALUE

    cashews = Cache()
    cashews.setup("mem://", size=100_000)
    region = make_region().configure("dogpile.cache.memory", expiration_time=3600)
    locked = cachetools.cached(cachetools.TTLCache(100_000, 3600), lock=threading.RLock())(body)
    figures = {
        "plain call": sync_hit(body, 200_000),
        "functools.lru_cache": sync_hit(functools.lru_cache(100_000)(body), 200_000),
        "cachetools TTLCache with a lock": sync_hit(locked, 100_000),
        "dogpile.cache memory": sync_hit(region.cache_on_arguments()(body), 20_000),
        "aiocache memory": asyncio.run(async_hit(aiocache.cached(ttl=3600)(body_async), 5_000)),
        "cashews memory": asyncio.run(async_hit(cashews(ttl="1h")(body_async), 3_000)),
    }
    return {"hit_ns": figures}


# -- batches -------------------------------------------------------------------


def keys_per_second(count, rounds, run):
    def measure():
        start = time.perf_counter()
        run()
        return count / (time.perf_counter() - start)

    return median_of(rounds, measure)


async def keys_per_second_async(count, rounds, run):
    figures = []
    for _ in range(rounds):
        start = time.perf_counter()
        await run()
        figures.append(count / (time.perf_counter() - start))
    return statistics.median(figures)


def batches(port, count):
    import aiocache
    import redis
    from cashews import Cache

    client = redis.Redis(host="127.0.0.1", port=port)
    pairs = {f"bench:{number}": VALUE for number in range(count)}
    names = list(pairs)

    def pipeline_set():
        pipe = client.pipeline(transaction=False)
        for name, value in pairs.items():
            pipe.set(name, value, ex=300)
        pipe.execute()

    def pipeline_get():
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.get(name)
        pipe.execute()

    pipeline_set()
    figures = {
        "redis-py MGET": {"get": keys_per_second(count, 15, lambda: client.mget(names))},
        "redis-py pipeline": {
            "get": keys_per_second(count, 15, pipeline_get),
            "set": keys_per_second(count, 15, pipeline_set),
        },
    }

    async def asynchronous():
        cashews = Cache()
        cashews.setup(f"redis://127.0.0.1:{port}/1")
        own = aiocache.RedisCache(endpoint="127.0.0.1", port=port, db=2)
        listed = [(name, value) for name, value in pairs.items()]
        figures["cashews"] = {
            "set": await keys_per_second_async(count, 9, lambda: cashews.set_many(pairs, expire=300)),
            "get": await keys_per_second_async(count, 9, lambda: cashews.get_many(*names)),
        }
        # It has no time to live in a multi_set of its own; both commands are sent.
        figures["aiocache"] = {
            "set": await keys_per_second_async(count, 9, lambda: own.multi_set(listed, ttl=300)),
            "get": await keys_per_second_async(count, 9, lambda: own.multi_get(names)),
        }
        await cashews.close()
        await own.close()

    asyncio.run(asynchronous())
    return {"keys_per_second": figures}


# -- stampede ------------------------------------------------------------------


def callers_of(library, port, callers, load_seconds, barrier):
    """Returns a function that runs `callers` callers of one key and returns how long the slowest took."""
    import redis

    counting = redis.Redis(host="127.0.0.1", port=port)

    def load():
        counting.incr("loads")
        time.sleep(load_seconds)
        return VALUE

    async def load_async():
        await asyncio.to_thread(counting.incr, "loads")
        await asyncio.sleep(load_seconds)
        return VALUE

    def threaded(call):
        def run():
            ready = threading.Barrier(callers)

            def one():
                ready.wait()
                call()

            threads = [threading.Thread(target=one) for _ in range(callers)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return run

    def gathered(make):
        async def run():
            call = await make()
            await asyncio.gather(*(call() for _ in range(callers)))

        return lambda: asyncio.run(run())

    if library == "no lock":
        def call():
            if counting.get("value") is None:
                counting.set("value", load(), ex=300)
        return threaded(call)
    if library == "dogpile.cache":
        from dogpile.cache import make_region

        arguments = {"host": "127.0.0.1", "port": port, "distributed_lock": True, "thread_local_lock": False}
        region = make_region().configure("dogpile.cache.redis", expiration_time=300, arguments=arguments)
        return threaded(lambda: region.get_or_create("value", load))
    if library == "cashews":
        async def make():
            from cashews import Cache

            cache = Cache()
            cache.setup(f"redis://127.0.0.1:{port}/1")
            return cache(ttl="5m", key="value", lock=True)(load_async)

        return gathered(make)
    if library == "aiocache":
        async def make():
            import aiocache

            return aiocache.cached_stampede(
                lease=5, ttl=300, key="value", cache=aiocache.RedisCache, endpoint="127.0.0.1", port=port, db=2
            )(load_async)

        return gathered(make)
    raise SystemExit(f"there is no library {library}")


def one_process(library, port, callers, load_seconds, barrier, times):
    run = callers_of(library, port, callers, load_seconds, barrier)
    barrier.wait()
    start = time.perf_counter()
    run()
    times.put(time.perf_counter() - start)


def stampede(library, port, processes, callers, load_seconds):
    import redis

    client = redis.Redis(host="127.0.0.1", port=port)
    client.flushall()
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes)
    times = context.Queue()
    running = [
        context.Process(target=one_process, args=(library, port, callers, load_seconds, barrier, times))
        for _ in range(processes)
    ]
    for process in running:
        process.start()
    slowest = max(times.get(timeout=120) for _ in running)
    for process in running:
        process.join()
    return {"loads": int(client.get("loads") or 0), "seconds": slowest}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["hits", "batches", "stampede"])
    parser.add_argument("--port", type=int)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--library")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--callers", type=int, default=50)
    parser.add_argument("--load-seconds", type=float, default=0.3)
    given = parser.parse_args()
    if given.what == "hits":
        figures = hits()
    elif given.what == "batches":
        figures = batches(given.port, given.count)
    else:
        figures = stampede(given.library, given.port, given.processes, given.callers, given.load_seconds)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
