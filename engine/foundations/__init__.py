"""Every experiment of the notes, from a single neuron up, as functions whose results are values."""
