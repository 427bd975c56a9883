"""What an operator allows: destinations and paths."""
