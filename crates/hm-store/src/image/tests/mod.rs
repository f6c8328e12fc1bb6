//! Images made in code, resolved into real stores.

mod archives;
mod layers;
mod make;
mod sparse;
