"""From the specification to layers, tensors and records; what it costs; the same as a script."""
