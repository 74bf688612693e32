//! Who is where: addresses and AS numbers of the speaker, its feeders and its sink.
//!
//! Feeders and sink are on different links, so that every speaker has to put itself into NEXT_HOP.

use std::net::Ipv4Addr;

/// The speaker's AS.
pub(crate) const ASN: u32 = 65000;

/// The speaker's interface and address on the feeders' link; the address is its BGP identifier too.
pub(crate) const FEED: (&str, Ipv4Addr) = ("feed", Ipv4Addr::new(10, 255, 1, 1));

/// The speaker's interface and address on the sink's link.
pub(crate) const DRAIN: (&str, Ipv4Addr) = ("drain", Ipv4Addr::new(10, 255, 2, 1));

/// What peers propose as hold time, in seconds, and speakers are told to. No phase is near it.
pub(crate) const HOLD_TIME: u16 = 900;

/// A session of the speaker's.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// `feeder1` … or `sink`.
    pub(crate) name: String,
    /// Its AS.
    pub(crate) asn: u32,
    /// Its address, which is its BGP identifier too. It dials.
    pub(crate) address: Ipv4Addr,
    /// The speaker's address towards it.
    pub(crate) speaker: Ipv4Addr,
    /// Everything is exported to the sink and nothing imported; to feeders the other way round.
    pub(crate) is_sink: bool,
}

/// The feeder with this number, from 0.
pub(crate) fn feeder(number: u8) -> Peer {
    Peer {
        name: format!("feeder{}", number + 1),
        asn: 65001 + u32::from(number),
        address: Ipv4Addr::new(10, 255, 1, 11 + number),
        speaker: FEED.1,
        is_sink: false,
    }
}

/// The sink.
pub(crate) fn sink() -> Peer {
    Peer {
        name: "sink".into(),
        asn: 65100,
        address: Ipv4Addr::new(10, 255, 2, 2),
        speaker: DRAIN.1,
        is_sink: true,
    }
}
