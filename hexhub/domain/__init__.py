"""What may happen: plain functions over a View or a Transaction, a noun a file."""
