"""The fault ledger: whatever breaks, a yes is no lie, and neither is a no."""
