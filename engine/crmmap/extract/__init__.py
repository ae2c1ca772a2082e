"""From the world: HTTP answers and files, as pages of records."""

from crmmap.extract.keyring_vault import KeyringVault
from crmmap.extract.login import log_in
from crmmap.extract.readers import Clock, Reader, open_reader
from crmmap.extract.vault import Keeper, Vault

__all__ = ["Clock", "Keeper", "KeyringVault", "Reader", "Vault", "log_in", "open_reader"]
