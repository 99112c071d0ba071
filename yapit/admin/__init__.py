"""The product for its operators: look at everything, change what is theirs to decide."""

from yapit.admin import accounts, catalog, dead_letters, documents, variants

__all__ = ["accounts", "catalog", "dead_letters", "documents", "variants"]
