"""Many runs of one scenario: a grid of its keys, made once each by warm workers, kept as one table."""
