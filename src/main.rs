//! petiole: see README.md.
fn main() {}
