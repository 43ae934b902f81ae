"""Search of a gallery in memory: ours against plain numpy, in one process.

    OMP_NUM_THREADS=2 python benchmarks/search.py

100,000 vectors of 512 numbers, one query at a time, the ten best. Plain numpy multiplies the same
matrix by the query and sorts out the ten largest (`argpartition`); what it finds in float64 is the
truth that recall is measured against. Beside them the speed of memory: the time to read as many
bytes as the first pass does, one per number, and to do no more than add them up. Rounds alternate,
so that a busy moment meets all. Processor time is printed beside the time on the clock: on a busy
machine it alone says something.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from triform.search import blocks
from triform.search.exact import ExactGallery

CATEGORIES = 12


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--threads", type=int, default=blocks.num_threads())
    args = parser.parse_args()
    blocks.num_threads = lambda: args.threads
    threadpool_limits(args.threads)
    vectors, queries = clustered(args.count, args.dim, args.queries)
    start = time.perf_counter()
    gallery = fill(vectors)
    print(
        f"{args.count:,} x {args.dim} ({vectors.nbytes / 2**20:.0f} MB), {args.queries} queries, "
        f"{args.threads} threads; built in {time.perf_counter() - start:.2f} s"
    )
    pool = ThreadPoolExecutor(args.threads)
    parts = np.array_split(vectors.reshape(-1).view(np.int64)[: vectors.size // 8], args.threads)
    ways = {
        "memory": lambda _: list(pool.map(np.sum, parts)),
        "plain numpy": lambda query: numpy_search(vectors, query),
        "ours": lambda query: search(gallery, query),
        f"ours, 1 of {CATEGORIES} categories": lambda query: search(gallery, query, category=3),
    }
    times = {name: [] for name in ways}
    for query in queries:
        for name, way in ways.items():
            start, busy = time.perf_counter(), time.process_time()
            way(query)
            times[name].append((time.perf_counter() - start, time.process_time() - busy))
    medians = {}
    for name, some in times.items():
        clock, busy = (np.array(some[5:]) * 1e3).T
        low, middle, high = np.percentile(clock, (5, 50, 95))
        medians[name] = np.array([middle, np.median(busy)])
        print(
            f"  {name:24} median {middle:7.2f} ms   p5 {low:7.2f}   p95 {high:7.2f}   "
            f"processor {medians[name][1]:7.2f} ms"
        )
    ratio = medians["plain numpy"] / medians["ours"]
    print(f"  ratio of plain numpy to ours: {ratio[0]:.2f}; by processor time {ratio[1]:.2f}")
    ratio = medians["memory"] / medians["ours"]
    print(f"  share of the speed of memory: {ratio[0]:.2f}; by processor time {ratio[1]:.2f}")
    speed = vectors.size / medians["memory"] / 1e6
    print(f"  memory {speed[0]:.1f} GB/s on the clock, {speed[1]:.1f} GB per processor second")
    start = time.perf_counter()
    hits = gallery.search(queries, 10, encoder="benchmark")
    each = (time.perf_counter() - start) / len(queries) * 1e3
    print(f"  all queries at once: {each:.2f} ms for each")
    found = sum(
        len({int(hit.id) for hit in some} & truth)
        for some, truth in zip(hits, exact(vectors, queries), strict=True)
    )
    print(f"  recall@10 against float64 brute force: {found / (10 * len(queries)):.6f}")


def clustered(count, dim, num_queries):
    """Unit vectors around 200 centres, as embeddings of real things lie; queries near some."""
    random = np.random.default_rng(0)
    centers = random.standard_normal((200, dim), dtype=np.float32)
    vectors = centers[random.integers(200, size=count)]
    for start in range(0, count, 10_000):
        some = vectors[start : start + 10_000]
        some += 0.7 * random.standard_normal(some.shape, dtype=np.float32)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
    queries = vectors[random.integers(count, size=num_queries)]
    queries = queries + 0.02 * random.standard_normal(queries.shape, dtype=np.float32)
    return vectors, queries / np.linalg.norm(queries, axis=1, keepdims=True)


def fill(vectors):
    gallery = ExactGallery(encoder="benchmark")
    for start in range(0, len(vectors), 10_000):
        rows = range(start, min(start + 10_000, len(vectors)))
        records = [{"category": row % CATEGORIES} for row in rows]
        gallery.add(
            [str(row) for row in rows],
            vectors[rows.start : rows.stop],
            records,
            encoder="benchmark",
        )
    return gallery


def search(gallery, query, **where):
    return gallery.search(query[None], 10, encoder="benchmark", where=where)


def numpy_search(vectors, query):
    similarities = vectors @ query
    best = np.argpartition(-similarities, 10)[:10]
    return best[np.argsort(-similarities[best])]


def exact(vectors, queries):
    """Sets of the ten best rows, in float64 and a part at a time."""
    similarities = np.concatenate(
        [
            queries.astype(np.float64) @ vectors[start : start + 10_000].astype(np.float64).T
            for start in range(0, len(vectors), 10_000)
        ],
        axis=1,
    )
    return [set(row) for row in np.argpartition(-similarities, 10, axis=1)[:, :10].tolist()]


if __name__ == "__main__":
    main()
