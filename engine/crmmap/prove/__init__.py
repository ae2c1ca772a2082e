"""The proof of a mapping: its case files, and laws that invented records try to break."""

from crmmap.prove.cases import Case, cases_beside, read_cases
from crmmap.prove.casework import failure, run_cases
from crmmap.prove.proving import Asked, prove_mapping
from crmmap.prove.results import Finding, Proof, Tested
from crmmap.prove.telling import document, parts

__all__ = [
    "Asked",
    "Case",
    "Finding",
    "Proof",
    "Tested",
    "cases_beside",
    "document",
    "failure",
    "parts",
    "prove_mapping",
    "read_cases",
    "run_cases",
]
