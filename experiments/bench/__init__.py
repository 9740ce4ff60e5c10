"""Speeds as ratios, measured side by side: the only place where speed is judged."""
