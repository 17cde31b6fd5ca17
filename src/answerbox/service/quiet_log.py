"""Keeps callers' mistakes out of the log: BentoML writes a traceback for every body that breaks the contract."""

from __future__ import annotations

import logging

from pydantic import ValidationError

BENTOML_LOGGER = "bentoml._internal.server.http_app"


class CallersFaults(logging.Filter):
    """Drops the traceback of a request's own validation; the access log still has the request and its status."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, ValidationError) and "Request" in error.title)


def install() -> None:
    logging.getLogger(BENTOML_LOGGER).addFilter(CallersFaults())
