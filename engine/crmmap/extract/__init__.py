"""From the world: HTTP answers and files, as pages of records."""

from crmmap.extract.login import log_in
from crmmap.extract.readers import Clock, Reader, open_reader
from crmmap.extract.vault import Vault

__all__ = ["Clock", "Reader", "Vault", "log_in", "open_reader"]
