//! ExecutionBackend and the local backend: pure build state, dispatcher, runners.
