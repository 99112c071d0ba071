"""The product: documents, sockets, synthesis."""
