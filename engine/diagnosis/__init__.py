"""Diagnosis: from records to findings, each with evidence, threshold and explanation."""

from layerscope.engine.diagnosis.diagnose import Verdict, diagnose, undecided, verdict
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import SEVERITIES, Finding
from layerscope.engine.diagnosis.rule import RULES

__all__ = [
    "RULES", "SEVERITIES", "Evidence", "Finding", "Verdict", "diagnose", "undecided", "verdict",
]  # fmt: skip
