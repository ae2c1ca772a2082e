"""To the world: tables, rows and the ledger, committed together or not at all."""

from crmmap.load.accounts import OUTCOME, RETRIED_SCHEMA, TAKEN_SCHEMA, Mark, Tally, Written
from crmmap.load.archive import Piece
from crmmap.load.deferred import Arrivals, Waiting
from crmmap.load.store import Store
from crmmap.load.transaction import Transaction

__all__ = [
    "OUTCOME",
    "RETRIED_SCHEMA",
    "TAKEN_SCHEMA",
    "Arrivals",
    "Mark",
    "Piece",
    "Store",
    "Tally",
    "Transaction",
    "Waiting",
    "Written",
]
