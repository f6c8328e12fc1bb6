//! Linux primitives for the embedded sandbox.
