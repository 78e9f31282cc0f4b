"""The bench: load, a light far end, and what a gateway between them costs.

python tests/bench/run.py --calls 10,50 --seconds 10
"""
