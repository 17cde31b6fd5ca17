"""The tables of the ledger, and the way from older ones."""

SCHEMA_VERSION = 2

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY,              -- the key: name and owner
    name TEXT NOT NULL,               -- the id as the caller knows it
    owner TEXT NOT NULL DEFAULT '',   -- '' is nobody
    title TEXT,
    uri TEXT,
    language TEXT,
    metadata TEXT NOT NULL,
    text TEXT NOT NULL,
    pages TEXT,                       -- JSON: where each page starts
    content_hash TEXT NOT NULL,
    recipe TEXT NOT NULL DEFAULT '',  -- how the chunks were cut
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS documents_by_owner ON documents(owner) WHERE owner != '';
CREATE TABLE IF NOT EXISTS chunks (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    document_id TEXT NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    text TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    headings TEXT NOT NULL DEFAULT '[]',
    page INTEGER
);
CREATE INDEX IF NOT EXISTS chunks_by_document ON chunks(document_id);
-- rowid is chunks.number. `terms`: stems, sentences joined by " . "; `parts`: their beginnings.
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(terms, parts, tokenize = "unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab(words, 'col');
-- Float32, little-endian; Chroma can be made anew from them.
CREATE TABLE IF NOT EXISTS vectors (
    number INTEGER NOT NULL REFERENCES chunks(number) ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (number, fingerprint)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS vectors_by_model ON vectors(fingerprint);
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL DEFAULT 'ingest' CHECK (kind IN ('ingest', 'reindex')),
    cancelled INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    idempotency_key TEXT UNIQUE,
    digest TEXT,                      -- of the request; of a reindex the fingerprint
    created_at TEXT NOT NULL,
    finished_at TEXT
);
-- The documents and files of a job, kept until each is dealt with.
CREATE TABLE IF NOT EXISTS job_items (
    number INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
    document_id TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'document' CHECK (kind IN ('document', 'file', 'stored')),
    document TEXT,                    -- JSON of DocumentIn or FileIn
    upload TEXT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    error TEXT
);
CREATE INDEX IF NOT EXISTS job_items_by_job ON job_items(job_id, status);
CREATE INDEX IF NOT EXISTS job_items_waiting ON job_items(status, number) WHERE status IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS job_items_by_document ON job_items(document_id) WHERE status IN ('queued', 'running');
-- A delete also ends what an earlier, still unread file would bring back.
CREATE TABLE IF NOT EXISTS tombstones (document_id TEXT PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

FROM_1 = """
ALTER TABLE documents ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN pages TEXT;
ALTER TABLE documents ADD COLUMN recipe TEXT NOT NULL DEFAULT '';
UPDATE documents SET name = id;
ALTER TABLE chunks ADD COLUMN headings TEXT NOT NULL DEFAULT '[]';
ALTER TABLE chunks ADD COLUMN page INTEGER;
ALTER TABLE jobs ADD COLUMN kind TEXT NOT NULL DEFAULT 'ingest';
ALTER TABLE jobs ADD COLUMN error TEXT;
ALTER TABLE jobs ADD COLUMN idempotency_key TEXT;
ALTER TABLE jobs ADD COLUMN digest TEXT;
CREATE UNIQUE INDEX jobs_by_key ON jobs(idempotency_key);
ALTER TABLE job_items ADD COLUMN kind TEXT NOT NULL DEFAULT 'document';
ALTER TABLE job_items ADD COLUMN upload TEXT;
DROP INDEX job_items_by_job;
-- The words of the old chunks; every document is cut and stemmed anew, for its recipe is empty.
ALTER TABLE words RENAME TO words_1;
DROP TABLE vocabulary;
"""
"""Schema 1 to 2. `words` is filled again from `words_1` by `COPY_WORDS`, once the new tables are there."""

COPY_WORDS = """
INSERT INTO words (rowid, terms, parts) SELECT rowid, terms, '' FROM words_1;
DROP TABLE words_1;
"""
