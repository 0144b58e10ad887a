"""Networks as data: manifests (what a network is), weights (where its file is), sessions (a network at work)."""
