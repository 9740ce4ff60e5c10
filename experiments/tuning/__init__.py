"""How each method is best trained, found on validation clips."""
