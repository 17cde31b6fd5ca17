"""The local language model: a door that takes questions in order, and engines that turn tokens into tokens.

`local_generator.py` is the port. It keeps the waiting line and the text; an engine of its own process makes the
tokens, so that a stuck or dead engine can be replaced, and neither holds up the other.
"""
