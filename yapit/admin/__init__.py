"""The product for its operators: look at everything, change what is theirs to decide."""

from yapit.admin import accounts, catalog, documents, variants

__all__ = ["accounts", "catalog", "documents", "variants"]
