"""The ledger's schema, one revision after another."""
