//! The values that keys take: from text or numbers to types that hold only what is allowed.

pub(crate) mod address;
pub(crate) mod number;
pub(crate) mod publish;
pub(crate) mod rate;
pub(crate) mod route_policy;
pub(crate) mod service;
pub(crate) mod text;
pub(crate) mod word;

pub(crate) use address::{AnyRange, HostAddress, InterfaceAddress, Length};
pub(crate) use number::{Asn, Int, RemoteAsn, Seconds};
pub(crate) use rate::Burst;
pub(crate) use service::{AclProtocol, Ports};
pub(crate) use text::{AbsolutePath, Description, Reason};
pub(crate) use word::Verdict;
