"""How a CNN is pretrained so that, frozen, it can exploit reuse and bear skips."""
