//! Policies, seen on real traffic: scenarios S10 and S11 in every kind of network, all kinds of rules against a model of
//! them, connections that outlive their permission, and what must never be seen while something changes.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod atomic;
#[path = "../common/mod.rs"]
mod common;
mod established;
mod identity;
mod matrix;
mod model;
mod outside;
mod scenarios;
mod vlan;
