//! The RIB as its user sees it: UPDATEs in, UPDATEs and next hops out.

mod model;
mod scale;
mod scenarios;
mod world;
