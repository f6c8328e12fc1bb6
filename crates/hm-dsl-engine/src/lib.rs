//! Finds the pipelines under .hm/ and turns Python into IR bytes.
