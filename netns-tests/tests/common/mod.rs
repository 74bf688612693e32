//! What the tests share: where things are, and what must be seen on a topology.

// Each test program uses its own part of this.
#![allow(dead_code)]

pub(crate) mod contiv;
pub(crate) mod lone;
pub(crate) mod policy;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use petiole_netns_tests::{Requirement, Topology};

/// Labs of plain machines.
pub(crate) const ROOT: &[Requirement] = &[Requirement::Root];
/// Labs with FRR.
pub(crate) const FRR_LAB: &[Requirement] = &[Requirement::Root, Requirement::Frr];
/// Labs with FRR and petiole.
pub(crate) const PETIOLE_LAB: &[Requirement] = &[Requirement::Root, Requirement::Frr, Requirement::Petiole];

/// contiv-l3 with FRR in the place of petiole.
pub(crate) const CONTIV_FRR: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/topologies/contiv-l3-frr/contiv-l3-frr.clab.yml");

/// The file of an example topology.
pub(crate) fn topology(name: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/topologies");
    examples.join(name).join(format!("{name}.clab.yml"))
}

/// A topology that a test makes up; binds are relative to `folder`.
pub(crate) fn parse(text: &str, folder: &Path) -> Topology {
    Topology::parse(text, Path::new("test.clab.yml"), folder).unwrap_or_else(|e| panic!("{e}"))
}

/// The `lab` program.
pub(crate) fn lab_program() -> PathBuf {
    env!("CARGO_BIN_EXE_lab").into()
}

/// An address that a test has written down.
pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// A prefix that a test has written down.
pub(crate) fn prefix(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}
