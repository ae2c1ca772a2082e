"""From the world: HTTP answers and files, as pages of records."""

from crmmap.extract.readers import Clock, Reader, open_reader

__all__ = ["Clock", "Reader", "open_reader"]
