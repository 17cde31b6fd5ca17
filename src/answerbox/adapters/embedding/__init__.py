"""Embedding models in this process: `local_embedder.py` is the port, below it a model for each kind of hardware."""
