"""The runs of a ledger as numbers for Prometheus, read from the views of schema `watch`."""
