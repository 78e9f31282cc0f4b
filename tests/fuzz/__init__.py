"""What `make fuzz` runs; tests/unit/test_fuzz.py runs a small and fixed part of it."""
