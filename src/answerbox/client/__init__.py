"""A typed client of a running service: `Client`, and `AsyncClient` for asyncio. docs/clients.md has examples.

Answers and events are the classes of `answerbox.contracts`, failures those of `answerbox.errors`.
"""

from answerbox.client.asynchronous import AsyncClient
from answerbox.client.blocking import Client
from answerbox.client.calls import File

__all__ = ["AsyncClient", "Client", "File"]
