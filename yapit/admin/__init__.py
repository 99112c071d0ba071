"""Admin pages of accounts, the catalog, documents, variants, caches and dead letters."""

from yapit.admin import accounts, caches, catalog, dead_letters, documents, variants

__all__ = ["accounts", "caches", "catalog", "dead_letters", "documents", "variants"]
