"""What arrives: traces read from files and synthetic ones drawn from shipped quantiles. Knows nothing of clusters.

`traces.read_trace` and `synthetic.synthetic` make a `table.Workload`. Nothing is imported here, so that a command which
needs none of it starts quickly.
"""
