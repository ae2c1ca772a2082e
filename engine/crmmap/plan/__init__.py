"""What will happen: a mapping compiled into a plan of ordered steps, before the first request."""

from crmmap.plan.choices import usual
from crmmap.plan.compile import compile_plan
from crmmap.plan.found import grown, is_wanted, unknown_types
from crmmap.plan.settings import (
    placeholder_settings,
    require_something,
    resolve_settings,
    under_new_names,
)
from crmmap.plan.steps import (
    Choice,
    Column,
    Dates,
    Distinct,
    Enriching,
    Expectation,
    FieldPlan,
    Filter,
    Finding,
    ForeignKey,
    FoundField,
    LookupPlan,
    Parts,
    Plan,
    Recursion,
    Rule,
    Step,
    Target,
)

__all__ = [
    "Choice",
    "Column",
    "Dates",
    "Distinct",
    "Enriching",
    "Expectation",
    "FieldPlan",
    "Filter",
    "Finding",
    "ForeignKey",
    "FoundField",
    "LookupPlan",
    "Parts",
    "Plan",
    "Recursion",
    "Rule",
    "Step",
    "Target",
    "compile_plan",
    "grown",
    "is_wanted",
    "placeholder_settings",
    "require_something",
    "resolve_settings",
    "under_new_names",
    "unknown_types",
    "usual",
]
