"""Values to values: a page's raw frame becomes a batch of rows, rejects and notes.

Every record that comes in goes out in exactly one part of the batch.
"""

from crmmap.transform.dedupe import dedupe, dedupe_all
from crmmap.transform.lookups import Resolved, resolve
from crmmap.transform.met import keys_of, met_keys
from crmmap.transform.rescue import apply_safely as apply

__all__ = ["Resolved", "apply", "dedupe", "dedupe_all", "keys_of", "met_keys", "resolve"]
