-- A ledger as the first release wrote it.
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY,
    title TEXT,
    uri TEXT,
    language TEXT,
    metadata TEXT NOT NULL,
    text TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS chunks (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    document_id TEXT NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    text TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS chunks_by_document ON chunks(document_id);
-- Stems of chunk and title, joined by blanks; rowid is chunks.number.
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(terms, tokenize = "unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab(words, 'row');
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    cancelled INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    finished_at TEXT
);
-- The documents of a job, kept until each is dealt with.
CREATE TABLE IF NOT EXISTS job_items (
    number INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
    document_id TEXT NOT NULL,
    document TEXT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    error TEXT
);
CREATE INDEX IF NOT EXISTS job_items_by_job ON job_items(job_id);
CREATE INDEX IF NOT EXISTS job_items_waiting ON job_items(status, number) WHERE status IN ('queued', 'running');
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO documents VALUES ('bread', NULL, NULL, 'en', '{"n": 1}', 'Bread is baked at six.', 'hash',
    '2026-11-23T10:00:00.000+00:00', '2026-11-23T10:00:00.000+00:00');
INSERT INTO chunks (id, document_id, ordinal, text, start, end) VALUES ('c1', 'bread', 0, 'Bread is baked at six.', 0, 22);
INSERT INTO words (rowid, terms) VALUES (1, 'bread is bake at six');
INSERT INTO jobs (id, created_at) VALUES ('job-1', '2026-11-23T10:00:00.000+00:00');
INSERT INTO job_items (job_id, document_id, document, status)
    VALUES ('job-1', 'fish', '{"text": "Fish is sold at noon.", "id": "fish"}', 'queued');
PRAGMA user_version = 1;
