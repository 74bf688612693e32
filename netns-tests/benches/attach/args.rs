//! The command line.

use clap::{Parser, ValueEnum};

/// Attach latency: `endpoint add` until the answer, and until the leaf's kernel has the route.
#[derive(Debug, Parser)]
#[command(name = "attach")]
pub(crate) struct Args {
    /// A smoke test: few attachments on one network, beside few endpoints.
    #[arg(long)]
    quick: bool,
    /// Only this network. May be given several times.
    #[arg(long = "network", value_enum, value_name = "NAME")]
    networks: Vec<Network>,
    /// Only with the journal there. May be given several times.
    #[arg(long = "state", value_enum, value_name = "WHERE")]
    states: Vec<State>,
    /// Only with this leaf. May be given several times.
    #[arg(long = "leaf", value_enum, value_name = "NAME")]
    leafs: Vec<LeafKind>,
    /// Endpoints that are there already, in rising order. May be given several times.
    #[arg(long = "existing", value_name = "N")]
    existing: Vec<usize>,
    /// Another daemon than the one that cargo built beside this program.
    #[arg(long, value_name = "FILE")]
    pub(crate) petiole: Option<std::path::PathBuf>,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The network that containers are attached to, by its name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// Routed, IPv4.
    Routed,
    /// Routed, IPv4 and IPv6.
    Dual,
    /// A VXLAN bridge with a gateway, IPv4.
    Vxlan,
}

/// What the leaf runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeafKind {
    /// It has a route in the kernel at once.
    Bird,
    /// It collects routes before it works on them: bgpd for 50 ms, zebra for 10 ms.
    Frr,
}

/// Where the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// `/dev/shm`: what the daemon itself takes.
    Memory,
    /// The file system of the build's folder: with what the disk takes to flush.
    Disk,
}

impl Args {
    /// The stages, each with all its rows: one thing at a time is varied, unless something is asked for.
    pub(crate) fn stages(&self) -> Vec<(LeafKind, State, Network)> {
        let (leaf, state, network) = (LeafKind::Bird, State::Memory, Network::Routed);
        if self.leafs.is_empty() && self.states.is_empty() && self.networks.is_empty() && !self.quick {
            return vec![
                (leaf, state, network),
                (leaf, state, Network::Dual),
                (leaf, state, Network::Vxlan),
                (leaf, State::Disk, network),
                (LeafKind::Frr, state, network),
            ];
        }
        let mut stages = Vec::new();
        for &leaf in or(&self.leafs, &leaf) {
            for &state in or(&self.states, &state) {
                stages.extend(or(&self.networks, &network).iter().map(|&network| (leaf, state, network)));
            }
        }
        stages
    }

    /// Numbers of endpoints that are there, rising.
    pub(crate) fn existing(&self) -> Vec<usize> {
        let mut existing = match &self.existing[..] {
            [] if self.quick => vec![10],
            [] => vec![10, 1000],
            chosen => chosen.to_vec(),
        };
        existing.sort_unstable();
        existing
    }

    /// How many are attached one after the other, and how many at once.
    pub(crate) fn attachments(&self) -> (usize, usize) {
        if self.quick { (20, 10) } else { (100, 30) }
    }
}

/// What was chosen, or else this.
fn or<'a, T>(chosen: &'a [T], default: &'a T) -> &'a [T] {
    if chosen.is_empty() { std::slice::from_ref(default) } else { chosen }
}

/// The name of a variant, as it is typed.
pub(crate) fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}

impl Network {
    /// How many containers it can have: the kernel's bridge has 1,023 ports, and one is the VXLAN device.
    pub(crate) fn room(self) -> usize {
        match self {
            Self::Routed | Self::Dual => 65_000,
            Self::Vxlan => 1022,
        }
    }
}
