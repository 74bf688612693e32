//! Endpoints that are added at run time: as somebody typed them, to the same [`Endpoint`] that the file gives.
//!
//! Knows the rules of the file, which are the same; does not know which endpoints there are already.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::{
    diagnostic::{Diagnostic, Kind},
    found::{At, Found},
    model::{Endpoint, HostConfig, Publish},
    resolve,
    schema::{
        self,
        read::{List, Written},
        value::text::{Problem, Text},
    },
};

/// An endpoint as it is typed: `petiole endpoint add` and the runtimes' front-ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EndpointRequest {
    /// Its name inside the tenant.
    pub name: String,
    /// Absent: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Either this, or `group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Either this, or `network`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Path of the network namespace.
    pub netns: String,
    /// Absent: `eth0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// A fixed address of either family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A fixed IPv6 address, beside an IPv4 one in `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address6: Option<String>,
    /// Published ports: `9099:80/tcp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
}

/// Checks a request against the configuration that runs, in the rules and words of the file. That its name, address,
/// interface and ports are nobody else's is for the caller to see, who knows the other endpoints.
///
/// The error is one line for people, with everything that is wrong.
pub fn endpoint(config: &HostConfig, request: &EndpointRequest) -> Result<Endpoint, String> {
    // There is no text to point into: each value is said to stand at its beginning.
    let mut found = Found::new("");
    let (address, address6) = addresses(request, &mut found);
    let raw = schema::Endpoint {
        name: written("name", Some(&request.name), &mut found),
        tenant: written("tenant", request.tenant.as_ref(), &mut found),
        network: written("network", request.network.as_ref(), &mut found),
        group: written("group", request.group.as_ref(), &mut found),
        netns: written("netns", Some(&request.netns), &mut found),
        interface: written("interface", request.interface.as_ref(), &mut found),
        address,
        address6,
        publish: published(&request.publish, &mut found),
    };
    let endpoint = resolve::endpoint(&raw, config, &mut found);
    match endpoint.filter(|_| !found.has_errors()) {
        Some(endpoint) => Ok(endpoint),
        None => Err(found.into_items().iter().map(Diagnostic::to_line).collect::<Vec<_>>().join("; ")),
    }
}

/// A key as it would stand in the file.
fn written<T: Text>(key: &str, text: Option<&String>, found: &mut Found<'_>) -> Written<T> {
    match text {
        Some(text) => one(key, text, found).map_or(Written::Bad, Written::Is),
        None => Written::Absent,
    }
}

fn one<T: Text>(key: &str, text: &str, found: &mut Found<'_>) -> Option<At<T>> {
    match T::parse(text) {
        Ok(value) => Some(At { value, span: 0..0 }),
        Err(problem) => {
            let message = format!("{key}: {}", problem.message);
            Problem { message, ..problem }.report(text, &(0..0), found);
            None
        }
    }
}

/// `address` is of either family, since whoever types one address should not have to say which.
fn addresses(request: &EndpointRequest, found: &mut Found<'_>) -> (Written<Ipv4Addr>, Written<Ipv6Addr>) {
    let six = || request.address6.as_ref();
    match request.address.as_deref().map(|text| one::<IpAddr>("address", text, found)) {
        None => (Written::Absent, written("address6", six(), found)),
        Some(None) => (Written::Bad, written("address6", six(), found)),
        Some(Some(At { value: IpAddr::V4(value), span })) => {
            (Written::Is(At { value, span }), written("address6", six(), found))
        }
        Some(Some(At { value: IpAddr::V6(value), span })) => {
            if let Some(other) = six() {
                let message = format!("two IPv6 addresses, {value} and {}", other.escape_debug());
                found.error(Kind::Conflict, &span, message);
            }
            (Written::Absent, Written::Is(At { value, span }))
        }
    }
}

fn published(list: &[String], found: &mut Found<'_>) -> Written<List<Publish>> {
    let items: Vec<_> = list.iter().filter_map(|text| one("publish", text, found)).collect();
    Written::Is(At { value: List { complete: items.len() == list.len(), items }, span: 0..0 })
}
