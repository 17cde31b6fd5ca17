"""The core: what happens to a question. Pure: knows ports and contracts, no vendor and no HTTP."""
