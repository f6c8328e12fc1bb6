//! The input contract: the versioned JSON IR, its validation into a PipelineGraph, its schema.
