"""Files of a multipart body, handed piece by piece to the index, which keeps them until they are read."""

from __future__ import annotations

import errno
import hashlib
import re
import uuid
from typing import Any

from pydantic import Field
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from answerbox.contracts import Contract, Identifier, Language, Metadata
from answerbox.errors import MalformedBody, StorageFull
from answerbox.ports import DocumentStore, FileIn
from answerbox.service import exchange
from answerbox.validation import invalid_request, validated, validated_json

MAX_FILES = 1_000
FIELDS = ("files", "metadata", "language", "user_id")
PIECE_BYTES = 2**20
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_NAME = 256


class _About(Contract):
    """What the form says of all its files."""

    metadata: Metadata = Field(default_factory=dict)
    language: Language | None = None
    user_id: Identifier | None = None


async def receive_files(request: Request, store: DocumentStore) -> list[FileIn]:
    """The files of the form, all of them in the index's hands.

    Raises:
        MalformedBody: it is no form.
        InvalidRequest: a field that is not known, no file, a file without a name.
        PayloadTooLarge, BodyTimeout, Forbidden, IndexUnavailable, StorageFull
    """
    try:
        async with request.form(max_files=MAX_FILES, max_fields=len(FIELDS)) as form:
            about = _about(form)
            files = _files(form)
            user_id = exchange.current.get().caller.speaks_for(about.user_id)
            return [await _hand_over(file, about, user_id, store) for file in files]
    except HTTPException as exc:
        raise MalformedBody(f"The form cannot be read: {exc.detail}", hint="Send multipart/form-data.") from None
    except OSError as exc:  # a long file waits in the folder for temporary files
        if exc.errno == errno.ENOSPC:
            raise StorageFull("There is no room left on the disk for temporary files.") from exc
        raise


def _files(form: FormData) -> list[UploadFile]:
    files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
    if not files or any(not name_of(file) for file in files) or len(files) != len(form.getlist("files")):
        raise invalid_request([{"field": "files", "message": "at least one file is needed, each with its file name"}])
    return files


def _about(form: FormData) -> _About:
    unknown = sorted(set(form) - set(FIELDS))
    if unknown:
        message = f"there is no such field; there are {', '.join(FIELDS)}"
        raise invalid_request([{"field": name, "message": message} for name in unknown])
    as_files = [name for name in FIELDS[1:] if isinstance(form.get(name), UploadFile)]
    if as_files:
        raise invalid_request([{"field": name, "message": "is a file; send it as a field"} for name in as_files])
    said: dict[str, Any] = {name: value for name, value in form.items() if name in FIELDS[2:]}
    metadata = form.get("metadata")
    if isinstance(metadata, str):
        said["metadata"] = validated_json(_Metadata, f'{{"metadata": {metadata}}}').metadata
    return validated(_About, said)


class _Metadata(Contract):
    metadata: Metadata


async def _hand_over(file: UploadFile, about: _About, user_id: str | None, store: DocumentStore) -> FileIn:
    upload_id, size, digest = uuid.uuid4().hex, 0, hashlib.sha256()
    while piece := await file.read(PIECE_BYTES):
        await store.put_upload(upload_id, size, piece)
        digest.update(piece)
        size += len(piece)
    if not size:
        await store.put_upload(upload_id, 0, b"")
    return FileIn(
        upload_id=upload_id,
        name=name_of(file),
        size=size,
        sha256=digest.hexdigest(),
        language=about.language,
        metadata=about.metadata,
        user_id=user_id,
    )


def name_of(file: UploadFile) -> str:
    """A label: folders stay in it, what cannot be printed does not."""
    return CONTROL.sub("", file.filename or "").replace("\\", "/").lstrip("/")[-MAX_NAME:]
