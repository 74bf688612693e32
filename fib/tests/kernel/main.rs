//! The netlink engine against the running kernel, with `ip` as oracle. Each test works in network namespaces of its
//! own; without root it says so and passes.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod acl;
mod apply;
mod bridged;
mod bridges;
mod echo;
mod fdb;
mod foreign;
mod implied;
mod lab;
mod links;
mod namespaces;
mod nft;
mod nft_foreign;
mod overrun;
mod resolve;
mod start;
mod tc;
mod tc_traffic;
mod tracker;
mod traffic;
