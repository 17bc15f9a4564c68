"""What arrives: traces read from files and synthetic ones drawn from shipped quantiles. Knows nothing of clusters."""
