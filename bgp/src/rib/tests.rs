//! The RIB as its user sees it: UPDATEs in, UPDATEs and next hops out.

mod model;
mod scenarios;
mod scale;
mod world;
