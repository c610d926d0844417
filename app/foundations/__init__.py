"""What Foundations can be asked: each question's fields and its answer by the engine.

One `Question` serves a page's form and its JSON twin alike; neither knows of the other.
"""

from __future__ import annotations

from layerscope.app.foundations.query import Field, FieldError, Question, Reading, Refused

__all__ = ["Field", "FieldError", "Question", "Reading", "Refused"]
