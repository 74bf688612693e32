//! The wire format of BGP-4: bytes to typed messages and back.
//!
//! Knows RFC 4271 and its extensions and, for every error, what RFC 7606 wants done about it.
//! Must not know sessions, peers' configuration or time: what a decoder needs of the session is in [`Session`].

mod attributes;
mod capability;
mod message;
mod notification;

pub use attributes::{
    Aggregator, AsPath, Attributes, Community, ExtendedCommunity, LargeCommunity, NextHop, Origin,
    UnknownAttribute,
};
pub use capability::{Capability, Family, FamilySet, GracefulRestart};
pub use message::{Message, Open, RouteRefresh, RouteRefreshKind, Session, Update};
pub use notification::Notification;
