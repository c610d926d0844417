"""Einsum: equations parsed, explained, rewritten and run."""
