"""The product: documents, sockets, synthesis."""

__version__ = "0.1.0"  # of both distributions, yapit and yapit-client
