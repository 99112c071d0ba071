"""The product for its operators: look at everything, change what is theirs to decide."""

from yapit.admin import accounts, caches, catalog, dead_letters, documents, variants

__all__ = ["accounts", "caches", "catalog", "dead_letters", "documents", "variants"]
