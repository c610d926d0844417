"""What everything stands on: registries, cancellation, source text, tensors as pictures."""
