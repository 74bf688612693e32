//! The OPEN exchange: what we say, what the peer must say, and what follows for the session.

use std::{net::Ipv4Addr, time::Duration};

use crate::wire::{
    Capability, Family, FamilySet, GracefulRestart, Notification, Open, Session,
    iana::{capability_code, open_error},
};

/// Which AS the peer may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteAs {
    /// This one.
    Exact(u32),
    /// Any other than ours.
    External,
}

/// What the state machine of one peer is told by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Our AS number towards this peer.
    pub local_as: u32,
    /// Our BGP identifier, not zero.
    pub router_id: Ipv4Addr,
    /// Sent as FQDN capability; empty: not sent.
    pub host_name: String,
    /// The AS that the peer must be in.
    pub remote_as: RemoteAs,
    /// Families we offer. At least one.
    pub families: FamilySet,
    /// Offer IPv4 routes with IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Hold time we propose, seconds; 0 or at least 3.
    pub hold_time: u16,
    /// KEEPALIVE interval in seconds; never longer than a third of the negotiated hold time, which is the default.
    pub keepalive: Option<u16>,
    /// ConnectRetryTime: how long a dial may take, and the longest pause between two.
    pub connect_retry: Duration,
    /// Keep the peer's routes while it restarts, if it can do that (RFC 4724, as "receiving speaker").
    pub graceful_restart: bool,
    /// PassiveTcpEstablishment: never dial.
    pub passive: bool,
    /// After the prefix limit ended a session: try again after this time; `None`: only when told to.
    pub prefix_limit_restart: Option<Duration>,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// For the codec.
    pub session: Session,
    /// The peer's OPEN: identifier, AS, capabilities.
    pub open: Open,
    /// The smaller of the two hold times, seconds; 0: no KEEPALIVEs, no hold timer.
    pub hold_time: u16,
    /// Between our KEEPALIVEs, before jitter; zero when `hold_time` is.
    pub keepalive: Duration,
    /// The peer understands ROUTE-REFRESH (RFC 2918).
    pub route_refresh: bool,
    /// Both sides demarcate a refresh with BoRR and EoRR (RFC 7313).
    pub enhanced_refresh: bool,
}

impl Negotiated {
    /// Families of the session that the peer keeps forwarding while it restarts, as it said when the session began.
    pub fn restartable(&self) -> FamilySet {
        let families = self.open.graceful_restart().map(|restart| &restart.families[..]).unwrap_or_default();
        let announced: FamilySet = families.iter().map(|(family, _)| *family).collect();
        announced.intersection(self.session.families)
    }

    /// Families whose forwarding state the peer has kept while it restarted (the F bit).
    pub fn preserved(&self) -> FamilySet {
        let families = self.open.graceful_restart().map(|restart| &restart.families[..]).unwrap_or_default();
        families.iter().filter(|(_, kept)| *kept).map(|(family, _)| *family).collect()
    }

    /// How long the peer may take to come back.
    pub fn restart_time(&self) -> Duration {
        let seconds = self.open.graceful_restart().map_or(0, |restart| restart.restart_time);
        Duration::from_secs(u64::from(seconds))
    }
}

impl Settings {
    /// The OPEN that we send.
    pub fn open(&self) -> Open {
        let mut capabilities = self.multiprotocol();
        capabilities.push(Capability::RouteRefresh);
        if self.extended_next_hop && self.families.ipv4 {
            capabilities.push(Capability::ExtendedNextHop(vec![Family::Ipv4]));
        }
        capabilities.push(Capability::ExtendedMessage);
        capabilities.push(Capability::FourOctetAs(self.local_as));
        capabilities.push(Capability::EnhancedRouteRefresh);
        if self.graceful_restart {
            // Without families: we keep the routes of a peer that restarts, not our own forwarding state. FRR, moreover,
            // answers ROUTE-REFRESH with marks only to those whom it has sent an End-of-RIB, thus to no others.
            capabilities.push(Capability::GracefulRestart(GracefulRestart::default()));
        }
        if !self.host_name.is_empty() {
            capabilities.push(Capability::Fqdn { host: self.host_name.clone(), domain: String::new() });
        }
        Open { asn: self.local_as, hold_time: self.hold_time, router_id: self.router_id, capabilities }
    }

    /// Checks the peer's OPEN (RFC 4271 section 6.2) and works out what the session will be.
    pub fn negotiate(&self, open: Open) -> Result<Negotiated, Notification> {
        let expected = match self.remote_as {
            RemoteAs::Exact(asn) => open.asn == asn,
            RemoteAs::External => open.asn != self.local_as,
        };
        if !expected || open.asn == 0 {
            return Err(Notification::bad_peer_as());
        }
        let external = open.asn != self.local_as;
        // RFC 6286 section 2.2: the AS-wide uniqueness is all that is asked of identifiers.
        if open.router_id.is_unspecified() || (!external && open.router_id == self.router_id) {
            return Err(Notification::bad_bgp_identifier());
        }
        if matches!(open.hold_time, 1 | 2) {
            return Err(Notification::open(open_error::UNACCEPTABLE_HOLD_TIME, &[]));
        }

        let session = Session::negotiate(&self.open(), &open);
        if session.families == FamilySet::NONE {
            // RFC 5492 section 3: the capabilities that we cannot do without.
            return Err(Notification::open(open_error::UNSUPPORTED_CAPABILITY, &self.multiprotocol_octets()));
        }
        let hold_time = self.hold_time.min(open.hold_time);
        let keepalive = self.keepalive(hold_time);
        let route_refresh = open.has_route_refresh();
        // RFC 7313 section 4: of no use without the plain one.
        let enhanced_refresh = route_refresh && open.has_enhanced_route_refresh();
        Ok(Negotiated { session, open, hold_time, keepalive, route_refresh, enhanced_refresh })
    }

    /// The interval between KEEPALIVEs for a negotiated hold time.
    pub(super) fn keepalive(&self, hold_time: u16) -> Duration {
        let third = Duration::from_secs(u64::from(hold_time)) / 3;
        match self.keepalive {
            Some(seconds) => Duration::from_secs(u64::from(seconds)).max(MIN_KEEPALIVE).min(third),
            None => third,
        }
    }

    fn multiprotocol(&self) -> Vec<Capability> {
        self.families.iter().map(Capability::Multiprotocol).collect()
    }

    /// The same capabilities as octets: code, length, AFI, reserved, SAFI (RFC 4760 section 8).
    fn multiprotocol_octets(&self) -> Vec<u8> {
        let octets = |family: Family| {
            let [high, low] = family.afi().to_be_bytes();
            [capability_code::MULTIPROTOCOL, 4, high, low, 0, family.safi()]
        };
        self.families.iter().flat_map(octets).collect()
    }
}

/// RFC 4271 section 4.4: no more than one KEEPALIVE per second.
const MIN_KEEPALIVE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            local_as: 65002,
            router_id: Ipv4Addr::new(10, 0, 0, 1),
            host_name: "host1".into(),
            remote_as: RemoteAs::External,
            families: FamilySet { ipv4: true, ipv6: true },
            extended_next_hop: true,
            hold_time: 9,
            keepalive: None,
            connect_retry: Duration::from_secs(10),
            graceful_restart: true,
            passive: false,
            prefix_limit_restart: None,
        }
    }

    fn open() -> Open {
        Open {
            asn: 500,
            hold_time: 90,
            router_id: Ipv4Addr::new(10, 0, 0, 2),
            capabilities: vec![
                Capability::Multiprotocol(Family::Ipv4),
                Capability::RouteRefresh,
                Capability::FourOctetAs(500),
            ],
        }
    }

    fn refused(settings: &Settings, open: Open) -> (u8, u8, Vec<u8>) {
        let n = settings.negotiate(open).unwrap_err();
        (n.code, n.subcode, n.data)
    }

    #[test]
    fn the_smaller_hold_time_counts_and_a_third_of_it_is_the_keepalive_interval() {
        let n = settings().negotiate(open()).unwrap();
        assert_eq!((n.hold_time, n.keepalive), (9, Duration::from_secs(3)));
        let slower = Settings { keepalive: Some(60), ..settings() };
        assert_eq!(slower.negotiate(open()).unwrap().keepalive, Duration::from_secs(3));
        let faster = Settings { keepalive: Some(2), ..settings() };
        assert_eq!(faster.negotiate(open()).unwrap().keepalive, Duration::from_secs(2));
    }

    #[test]
    fn a_hold_time_of_zero_on_either_side_disables_both_timers() {
        let n = settings().negotiate(Open { hold_time: 0, ..open() }).unwrap();
        assert_eq!((n.hold_time, n.keepalive), (0, Duration::ZERO));
        let ours = Settings { hold_time: 0, keepalive: Some(5), ..settings() };
        assert_eq!(ours.negotiate(open()).unwrap().keepalive, Duration::ZERO);
    }

    #[test]
    fn a_peer_in_the_wrong_as_is_refused() {
        let exact = Settings { remote_as: RemoteAs::Exact(501), ..settings() };
        assert_eq!(refused(&exact, open()), (2, 2, vec![]));
        assert_eq!(
            refused(&settings(), Open { asn: 65002, ..open() }),
            (2, 2, vec![]),
            "external is not ours"
        );
        assert_eq!(refused(&settings(), Open { asn: 0, ..open() }), (2, 2, vec![]), "RFC 7607");
    }

    #[test]
    fn an_identifier_may_be_shared_between_ases_but_not_within_one() {
        let same = Open { router_id: settings().router_id, ..open() };
        assert!(settings().negotiate(same.clone()).is_ok());
        let internal = Settings { remote_as: RemoteAs::Exact(65002), ..settings() };
        assert_eq!(refused(&internal, Open { asn: 65002, ..same }), (2, 3, vec![]));
        assert_eq!(refused(&settings(), Open { router_id: Ipv4Addr::UNSPECIFIED, ..open() }), (2, 3, vec![]));
    }

    #[test]
    fn hold_times_of_one_and_two_seconds_are_refused() {
        for hold_time in [1, 2] {
            assert_eq!(refused(&settings(), Open { hold_time, ..open() }), (2, 6, vec![]));
        }
    }

    #[test]
    fn no_common_family_is_an_unsupported_capability_and_names_ours() {
        let only_v6 = Settings { families: FamilySet { ipv4: false, ipv6: true }, ..settings() };
        assert_eq!(refused(&only_v6, open()), (2, 7, vec![1, 4, 0, 2, 0, 1]));
        let evpn = Capability::Unknown { code: 1, value: vec![0, 25, 0, 70] };
        let peer = Open { capabilities: vec![evpn], ..open() };
        assert_eq!(refused(&settings(), peer).1, 7, "a peer that speaks EVPN only does not speak IPv4");
    }

    #[test]
    fn a_peer_without_capabilities_speaks_ipv4_with_two_octet_as_numbers() {
        let n = settings().negotiate(Open { capabilities: vec![], ..open() }).unwrap();
        assert_eq!(n.session.families, FamilySet { ipv4: true, ipv6: false });
        assert!(!n.session.four_octet_as && !n.route_refresh && !n.session.extended_message);
    }

    #[test]
    fn a_capability_counts_when_both_sides_have_it() {
        let theirs = vec![
            Capability::Multiprotocol(Family::Ipv4),
            Capability::ExtendedNextHop(vec![Family::Ipv4]),
            Capability::EnhancedRouteRefresh,
        ];
        let n = settings().negotiate(Open { capabilities: theirs.clone(), ..open() }).unwrap();
        assert!(n.session.extended_next_hop);
        assert!(!n.enhanced_refresh, "useless without the plain one");
        let without = Settings { extended_next_hop: false, ..settings() };
        assert!(
            !without.negotiate(Open { capabilities: theirs, ..open() }).unwrap().session.extended_next_hop
        );
    }
}
