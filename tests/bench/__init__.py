"""The bench: load, a light far end, and what a gateway between them costs.

python -m tests.bench.run --calls 10,50 --seconds 10
"""
