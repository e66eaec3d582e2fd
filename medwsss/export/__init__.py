"""What other programs read: data sets and models in their own formats."""
