"""FLOPs, latency, memory, energy and hardware: pure measurements that know nothing of models."""
