"""Look into finished runs: episodes of chosen clips, results and learning curves, in one page that needs no network."""
