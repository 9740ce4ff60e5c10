"""How the gradient of an expected reward is estimated: small registered pieces, each with its source."""
