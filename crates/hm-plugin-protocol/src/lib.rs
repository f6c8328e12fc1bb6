//! The output contract: events, outcomes, the BuildView fold and executor wire types.
