"""Answerbox: from a notebook with a language model to a running HTTP service."""

__version__ = "0.1.0"
