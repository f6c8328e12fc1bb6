//! Images made in code, resolved into real stores.

mod archives;
mod kept;
mod layers;
mod make;
mod sparse;
