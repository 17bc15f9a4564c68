"""What a cluster looks like at a moment: pure folds over a record, and what can be said of them. Never decides."""
