"""What a mapping says: its model, its schema, and the way from a YAML file to a `Mapping`."""

from crmmap.spec.model import Mapping
from crmmap.spec.read import read_file, read_mapping
from crmmap.spec.schema import mapping_schema

__all__ = ["Mapping", "mapping_schema", "read_file", "read_mapping"]
