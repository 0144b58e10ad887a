"""What a network is: manifests, weights, and sessions that run one on an engine."""
