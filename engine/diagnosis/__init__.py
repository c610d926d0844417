"""Diagnosis: from records to findings, each with evidence, threshold and explanation."""

from engine.diagnosis.diagnose import Verdict, diagnose, diagnose_early, undecided, verdict
from engine.diagnosis.evidence import Evidence
from engine.diagnosis.finding import SEVERITIES, Finding
from engine.diagnosis.rule import RULES

__all__ = [
    "RULES", "SEVERITIES", "Evidence", "Finding", "Verdict", "diagnose", "diagnose_early",
    "undecided", "verdict",
]  # fmt: skip
