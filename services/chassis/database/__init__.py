"""A service's own database, and its rows as dataclasses."""

from services.chassis.database.engine import Database, EncodedJson, dump_json
from services.chassis.database.rows import insert_if_absent, item_of, row_of, utc
from services.chassis.database.sqlite import refuse_network_filesystem

__all__ = [
    "Database",
    "EncodedJson",
    "dump_json",
    "insert_if_absent",
    "item_of",
    "refuse_network_filesystem",
    "row_of",
    "utc",
]
