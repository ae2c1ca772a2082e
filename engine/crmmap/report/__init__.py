"""What people and programs are told: runs, plans and problems, as text, tables and JSON."""

from crmmap.report.document import plain, run_document
from crmmap.report.parts import Grid, Heading, Line, Part, rendered
from crmmap.report.plan import plan_document, plan_parts
from crmmap.report.problems import FORMATS, problem_report
from crmmap.report.progress import Progress, progress_on
from crmmap.report.summary import Missed, Outcome, summary, worst

__all__ = [
    "FORMATS",
    "Grid",
    "Heading",
    "Line",
    "Missed",
    "Outcome",
    "Part",
    "Progress",
    "plain",
    "plan_document",
    "plan_parts",
    "problem_report",
    "progress_on",
    "rendered",
    "run_document",
    "summary",
    "worst",
]
