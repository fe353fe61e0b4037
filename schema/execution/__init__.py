"""How an operation is run."""
