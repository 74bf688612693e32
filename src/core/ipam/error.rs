//! Why an endpoint gets no address, in words that say what to do about it.

use std::{fmt, net::IpAddr};

use petiole_config::model::ScopedName;

use super::ledger::Shortage;

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssignError {
    /// The pool has no address that may be given out now.
    #[error(transparent)]
    Exhausted(Box<Exhausted>),
    /// The address that was asked for is another endpoint's.
    #[error("{address} is in use by endpoint {by}")]
    InUse { address: IpAddr, by: ScopedName },
    /// The address that was asked for is on another host: giving it out here too would split its traffic.
    #[error("{address} is in use on another host: the fabric shows a route to it")]
    Elsewhere { address: IpAddr },
    /// The address that was asked for is none that this host may give out.
    #[error("{address} is not in the pool of network {network}")]
    NotInPool { address: IpAddr, network: ScopedName },
}

/// An exhausted pool, and where its addresses are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Exhausted {
    pub(super) network: ScopedName,
    /// When the group has a pool of its own.
    pub(super) group: Option<ScopedName>,
    pub(super) ipv6: bool,
    /// Addresses in the pool.
    pub(super) size: u128,
    /// Of these, with an owner on this host.
    pub(super) used: u128,
    pub(super) shortage: Shortage,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, group, ipv6, size, used, shortage } = self;
        f.write_str("auto allocation failed - address exhaustion in pool of ")?;
        if let Some(group) = group {
            write!(f, "group {group} of ")?;
        }
        let family = if *ipv6 { "IPv6" } else { "IPv4" };
        write!(f, "network {network}: {used} of {size} {family} addresses in use")?;
        if shortage.quarantined > 0 {
            write!(f, ", {} in quarantine", shortage.quarantined)?;
            if let Some(seconds) = shortage.free_in {
                write!(f, " (free in {seconds} s at the earliest)")?;
            }
        }
        if shortage.elsewhere > 0 {
            write!(f, ", {} shown by the fabric on other hosts", shortage.elsewhere)?;
        }
        Ok(())
    }
}
