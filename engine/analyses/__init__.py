"""Further questions asked of an experiment: autograd, spectrum, correlations, phases, formats."""
