"""Write memories: drafts, preconditions, leases where a store cannot compare, renewals."""
