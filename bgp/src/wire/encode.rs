//! Writing UPDATEs: an attribute block that many messages and many peers share, and the messages around it.
//!
//! Knows how attributes change at the border of an AS (RFC 4271 section 5) and how a message is filled. Must not know
//! which routes go to whom.

mod block;
mod writer;

pub use block::{EncodeContext, EncodedAttributes};
pub use writer::{NotAdvertisable, UpdateWriter};

#[cfg(test)]
mod tests;
