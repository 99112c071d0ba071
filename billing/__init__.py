"""Plans, balances, and the ledger of usage. Knows no audio."""
