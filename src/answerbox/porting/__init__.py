"""From somebody's notebook with a `run_model` to a package that serves it: read, checked, written, tried."""
