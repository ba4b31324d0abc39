"""FLOPs, latency, memory and hardware: pure measurements that know nothing of models."""
