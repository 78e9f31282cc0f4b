"""Trio drivers: sockets and clocks around the sans-I/O parts."""
