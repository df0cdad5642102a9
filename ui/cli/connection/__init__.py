"""The connection to a gateway, on which the command line, `drillyard.Client` and the MCP server stand."""

from ui.cli.connection.errors import GatewayError
from ui.cli.connection.gateway import Gateway
from ui.cli.connection.requests import Document
from ui.cli.connection.settings import DEFAULT_URL

__all__ = ["DEFAULT_URL", "Document", "Gateway", "GatewayError"]
