//! The wire format of BGP-4: bytes to typed messages and back.
//!
//! Knows RFC 4271 and its extensions and, for every error, what RFC 7606 wants done about it.
//! Must not know sessions, peers' configuration or time: what a decoder needs of the session is in [`Session`].
//!
//! Receiving: [`frame`] finds a message in the stream, [`Message::decode`] takes it apart. An `Err` is the
//! NOTIFICATION to send before the session is closed; an [`Update`] says itself which of its routes are usable.
//!
//! Sending: every type has an `encode` that appends to a `Vec<u8>` or `BytesMut` ([`Output`]); UPDATEs are made by
//! [`UpdateWriter`] around an attribute block that [`Attributes::encode`] made once for all peers of a kind.

mod as_path;
mod attributes;
mod capability;
mod community;
mod encode;
mod error;
mod family;
mod header;
pub mod iana;
mod inline;
mod message;
mod next_hop;
mod nlri;
mod notification;
mod open;
mod route_refresh;
mod session;
mod update;

pub use as_path::{AsPath, ParseAsPathError, Segment, SegmentKind, Segments};
pub use attributes::{Aggregator, Attributes, Origin, UnknownAttribute};
pub use capability::{Capability, GracefulRestart};
pub use community::{Community, ExtendedCommunity, LargeCommunity, ParseCommunityError};
pub use encode::{EncodeContext, EncodedAttributes, NotAdvertisable, UpdateWriter};
pub use error::{AttributeName, Discarded, DiscardedList, Fault, UpdateError};
pub use family::{Family, FamilySet};
pub use header::{HEADER_LEN, MAX_EXTENDED_MESSAGE_LEN, MAX_MESSAGE_LEN, Output, encode_keepalive, frame};
pub use message::Message;
pub use next_hop::NextHop;
pub use nlri::{Prefix, Prefixes};
pub use notification::Notification;
pub use open::Open;
pub use route_refresh::{RouteRefresh, RouteRefreshKind, UnknownRouteRefresh};
pub use session::Session;
pub use update::{Announcement, Announcements, Nlri, Update};
