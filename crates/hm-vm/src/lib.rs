//! Machines: the backend traits and their guarantees, the backends, cache-aware execution.
