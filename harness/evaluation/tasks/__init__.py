"""Retrieval tasks as mteb task objects: the embedded one, BEIR folders, and mteb's own."""
