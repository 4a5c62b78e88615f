"""Pure: what an account owns and owes, from what the venue says; budgets; routes."""
