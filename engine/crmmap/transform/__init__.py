"""Values to values: a page's raw frame becomes a batch of rows, rejects and notes.

Every record that comes in goes out in exactly one part of the batch.
"""

from crmmap.transform.dedupe import dedupe, dedupe_all
from crmmap.transform.lookups import Known, Resolved, resolve, strict, unmet
from crmmap.transform.met import keys_of, met_keys
from crmmap.transform.rescue import apply_safely as apply
from crmmap.transform.rings import Name, Waiter, groups, together

__all__ = [
    "Known",
    "Name",
    "Resolved",
    "Waiter",
    "apply",
    "dedupe",
    "dedupe_all",
    "groups",
    "keys_of",
    "met_keys",
    "resolve",
    "strict",
    "together",
    "unmet",
]
