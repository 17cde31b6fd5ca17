"""From a file to a passage that a search finds: reading, chunking, ingestion, search."""
