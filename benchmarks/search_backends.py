"""Embedded search engines beside the exact gallery: time, memory, start, adding, sudden death.

    pip install --target PEERS lancedb faiss-cpu chromadb
    python benchmarks/search_backends.py --peers PEERS --count 100000
    python benchmarks/search_backends.py --peers PEERS --count 1000000 --engines ours faiss lancedb

The ten best of N vectors of 512 numbers, with and without a filter that one row in twelve meets.
Every engine runs in processes of its own: one that builds, one that opens what was built and
searches, one that is killed while it adds. What each finds is compared with the ten best in
float64. LanceDB and faiss compare every vector; Chroma's index is approximate. Packages in PEERS
are used where the project's own environment has none of that name.
"""

import argparse
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from search import clustered, exact

DIM, CATEGORIES, CATEGORY, K, ADDED = 512, 12, 3, 10, 1000
PEERS = "SEARCH_BENCHMARK_PEERS"


class Ours:
    """The exact gallery."""

    def __init__(self, folder):
        from triform.search.gallery import create_gallery, open_gallery

        path = folder / "a.gallery"
        is_there = path.exists()
        self.gallery = open_gallery(path) if is_there else create_gallery(path, encoder="b")

    def add(self, first, vectors):
        rows = range(first, first + len(vectors))
        records = [{"category": row % CATEGORIES} for row in rows]
        self.gallery.add([str(row) for row in rows], vectors, records, encoder="b")

    def save(self):
        self.gallery.save()

    def count(self):
        return len(self.gallery)

    def search(self, query, category=None):
        where = None if category is None else {"category": category}
        hits = self.gallery.search(query[None], K, encoder="b", where=where)[0]
        return [int(hit.id) for hit in hits]


class Faiss:
    """A flat index of faiss and rows in SQLite, saved one after the other."""

    def __init__(self, folder):
        import faiss

        self.faiss, self.path = faiss, folder / "index.faiss"
        self.rows = sqlite3.connect(folder / "rows.sqlite")
        self.rows.execute("CREATE TABLE IF NOT EXISTS r (n INTEGER PRIMARY KEY, category INTEGER)")
        self.rows.execute("CREATE INDEX IF NOT EXISTS c ON r (category)")
        self.index = (
            faiss.read_index(str(self.path)) if self.path.exists() else faiss.IndexFlatIP(DIM)
        )

    def add(self, first, vectors):
        self.index.add(vectors)
        rows = ((row, row % CATEGORIES) for row in range(first, first + len(vectors)))
        self.rows.executemany("INSERT INTO r VALUES (?, ?)", rows)

    def save(self):
        self.rows.commit()
        self.faiss.write_index(self.index, str(self.path))

    def count(self):
        counts = {self.rows.execute("SELECT count(*) FROM r").fetchone()[0], self.index.ntotal}
        return counts.pop() if len(counts) == 1 else f"rows and vectors differ: {counts}"

    def search(self, query, category=None):
        words = {}
        if category is not None:
            found = self.rows.execute("SELECT n FROM r WHERE category = ?", (category,))
            rows = np.fromiter((row[0] for row in found), np.int64)
            selector = self.faiss.IDSelectorBatch(rows)
            words["params"] = self.faiss.SearchParameters(sel=selector)
        return self.index.search(query[None], K, **words)[1][0].tolist()


class Lance:
    """A table of LanceDB without an index, which compares every vector."""

    def __init__(self, folder):
        import lancedb
        import pyarrow

        self.arrow = pyarrow
        self.database = lancedb.connect(folder / "lance")
        try:
            self.table = self.database.open_table("rows")
        except (ValueError, FileNotFoundError):
            self.table = None

    def add(self, first, vectors):
        rows = np.arange(first, first + len(vectors))
        flat = self.arrow.array(vectors.reshape(-1))
        table = self.arrow.table(
            {
                "n": rows,
                "category": rows % CATEGORIES,
                "vector": self.arrow.FixedSizeListArray.from_arrays(flat, DIM),
            }
        )
        if self.table is None:
            self.table = self.database.create_table("rows", table)
        else:
            self.table.add(table)

    def save(self):
        pass

    def count(self):
        return self.table.count_rows()

    def search(self, query, category=None):
        search = self.table.search(query).distance_type("dot").limit(K).select(["n", "_distance"])
        if category is not None:
            search = search.where(f"category = {category}", prefilter=True)
        return search.to_arrow()["n"].to_pylist()


class Chroma:
    """A collection in a folder of Chroma's."""

    def __init__(self, folder):
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        client = chromadb.PersistentClient(path=str(folder / "chroma"), settings=settings)
        self.rows = client.get_or_create_collection(
            "rows",
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine", "ef_search": 200}},
        )

    def add(self, first, vectors):
        for start in range(0, len(vectors), 5000):
            rows = range(first + start, first + min(start + 5000, len(vectors)))
            self.rows.add(
                ids=[str(row) for row in rows],
                embeddings=vectors[start : start + 5000],
                metadatas=[{"category": row % CATEGORIES} for row in rows],
            )

    def save(self):
        pass

    def count(self):
        return self.rows.count()

    def search(self, query, category=None):
        where = None if category is None else {"category": category}
        found = self.rows.query(query_embeddings=query[None], n_results=K, where=where, include=[])
        return [int(one) for one in found["ids"][0]]


ENGINES = {"ours": Ours, "faiss": Faiss, "lancedb": Lance, "chroma": Chroma}


def seconds():
    """On the clock, and of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


def build(engine, folder, count):
    vectors, _ = clustered(count + ADDED, DIM, 1)
    start = seconds()
    for first in range(0, count, 10_000):
        engine.add(first, vectors[first : min(first + 10_000, count)])
    engine.save()
    built = seconds() - start
    start = seconds()
    engine.add(count, vectors[count:])
    engine.save()
    added = seconds() - start
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "build s": built[0],
        "build cpu s": built[1],
        f"add {ADDED} s": added[0],
        f"add {ADDED} cpu s": added[1],
        "disk MB": size / 1e6,
    }


def search(make, folder, num_queries):
    queries = np.load(folder / "queries.npy")[:num_queries]
    start = seconds()
    engine = make(folder)
    engine.search(queries[0])
    started = seconds() - start
    result = {"start s": started[0], "start cpu s": started[1]}
    for name, category in (("query", None), ("filtered", CATEGORY)):
        engine.search(queries[0], category)
        times, found = [], []
        for query in queries:
            start = seconds()
            found.append(engine.search(query, category))
            times.append(seconds() - start)
        result[f"{name} ms"], result[f"{name} cpu ms"] = np.median(times, axis=0) * 1e3
        result[f"{name} recall"] = found
    return result


def exact_answers(vectors, queries):
    """The ten best in float64 for each query, by the name of the search."""
    best = exact(vectors[CATEGORY::CATEGORIES], queries)
    filtered = [{CATEGORY + CATEGORIES * row for row in rows} for rows in best]
    return {"query recall": exact(vectors, queries), "filtered recall": filtered}


def recall(found, answers):
    """Share of the right ten that were found, over all queries."""
    pairs = zip(found, answers, strict=True)
    return sum(len(set(rows) & right) for rows, right in pairs) / (K * len(answers))


def killed(name, folder, times):
    """Kill a process that adds and saves without end; what it said is there, and nothing half."""
    outcomes = []
    random = np.random.default_rng(0)
    for _ in range(times):
        words = [sys.executable, __file__, "--child", "add", name, str(folder), "0", "0"]
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if not (line := process.stdout.readline()):
            outcomes.append("cannot be opened")
            break
        said = int(line)
        time.sleep(random.uniform(0, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        said = max([said, *map(int, process.stdout.read().split("\n")[:-1])])
        process.wait()
        words = [sys.executable, __file__, "--child", "count", name, str(folder), "0", "0"]
        answer = subprocess.run(words, capture_output=True, text=True, check=False)
        found = answer.stdout.strip() or answer.stderr.strip().splitlines()[-1][:80]
        is_whole = found.isdigit() and int(found) in (said, said + 100)
        outcomes.append("whole" if is_whole else f"said {said}, {found}")
    return {"killed": outcomes}


def child(task, name, folder, count, num_queries):
    folder, make = Path(folder), ENGINES[name]
    if task == "build":
        result = build(make(folder), folder, count)
    elif task == "search":
        result = search(make, folder, num_queries)
    elif task == "count":
        print(make(folder).count())
        return
    else:
        engine = make(folder)
        random = np.random.default_rng(os.getpid())
        rows = int(engine.count())
        while True:
            vectors = random.standard_normal((100, DIM), dtype=np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            engine.add(rows, vectors)
            engine.save()
            rows += 100
            print(rows, flush=True)
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
    print(json.dumps({**result, f"{task} peak MB": int(peak) / 1024}))


def main():
    if peers := os.environ.get(PEERS):
        sys.path.append(peers)
    if sys.argv[1:2] == ["--child"]:
        task, name, folder, count, num_queries = sys.argv[2:]
        child(task, name, folder, int(count), int(num_queries))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--kills", type=int, default=4, help="up to 100,000 vectors")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--peers", help="Folder of packages that are not installed.")
    parser.add_argument("--folder", help="Where to write; a temporary folder by default.")
    args = parser.parse_args()
    if args.peers:
        os.environ[PEERS] = args.peers
    vectors, queries = clustered(args.count + ADDED, DIM, args.queries)
    answers = exact_answers(vectors, queries)
    del vectors
    for name in args.engines:
        with tempfile.TemporaryDirectory(dir=args.folder) as place:
            folder = Path(place)
            np.save(folder / "queries.npy", queries)
            result = {}
            for task in ("build", "search"):
                words = ["--child", task, name, place, str(args.count), str(args.queries)]
                answer = subprocess.run(
                    [sys.executable, __file__, *words], capture_output=True, text=True, check=False
                )
                if answer.returncode:
                    print(name, answer.stderr.strip().splitlines()[-1])
                    break
                result |= json.loads(answer.stdout.strip().splitlines()[-1])
            else:
                for key, right in answers.items():
                    result[key] = recall(result[key], right)
                if args.count <= 100_000:
                    result |= killed(name, folder, args.kills)
                print(name, f"{args.count:,}")
                for key, value in result.items():
                    print(f"  {key:18} {value if isinstance(value, list) else round(value, 3)}")


if __name__ == "__main__":
    main()
