"""Planes of experiments: axes, outcomes, cells; computed by joblib, kept on disk.

Nothing is imported here: the process that hands cells out loads neither torch nor the engine.
"""
