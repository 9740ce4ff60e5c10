"""What an agent has learned, beyond accuracy and cost."""
