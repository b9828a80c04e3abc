"""
Compares rtmptw with other servers, on one machine and in one run::

    python -m benchmarks install
    python -m benchmarks run --quick
    python -m benchmarks report benchmarks.jsonl

docs/performance.rst explains the figures.
"""
