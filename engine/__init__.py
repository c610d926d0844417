"""The engine: layers, gradients, init, statistics, theory and diagnosis. Knows no web."""
