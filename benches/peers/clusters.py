"""Rounds of k-means over made-up rows in memory by faiss, the peer that `densesiam bench clusters` is compared with.

Needs faiss-cpu and numpy. A round is the difference of two trainings that differ by their number of rounds, so that what is done
once is not counted. Prints one JSON object.

    python3 clusters.py --rows 1000000 --clusters 27
"""

import argparse
import json
import statistics
import time

import faiss
import numpy


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--clusters", type=int, default=27)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    faiss.omp_set_num_threads(given.threads)
    rows = numpy.random.default_rng(0).integers(0, 256, (given.rows, given.dim)).astype(numpy.float32) / 255

    def train(rounds):
        index = faiss.IndexFlatL2(given.dim)
        clustering = faiss.Clustering(given.dim, given.clusters)
        clustering.niter = rounds
        clustering.max_points_per_centroid = 1 << 30
        start = time.perf_counter()
        clustering.train(rows, index)
        return time.perf_counter() - start

    train(1)
    seconds = [(train(1 + given.rounds) - train(1)) / given.rounds for _ in range(given.repeats)]
    outcome = {
        "variant": f"faiss {faiss.__version__}",
        "rows": given.rows,
        "dim": given.dim,
        "clusters": given.clusters,
        "threads": given.threads,
        "million_rows_per_second": given.rows / statistics.median(seconds) / 1e6,
        "seconds": {"round": statistics.median(seconds), "minimum": min(seconds)},
    }
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
