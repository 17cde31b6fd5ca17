"""Implementations of the ports, one vendor a file. Each translates its vendor's errors into `errors.py`."""
