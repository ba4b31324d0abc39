"""Text to vector: loading, instructions, batching, pooling, backends, and the embedding store."""
