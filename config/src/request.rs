//! Endpoints that are added at run time: as somebody typed them, to the same [`Endpoint`] that the file gives.
//!
//! Knows the rules of the file, which are the same; does not know which endpoints there are already.

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, HostConfig};

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
pub fn endpoint(config: &HostConfig, request: &EndpointRequest) -> Result<Endpoint, String> {
    let _ = (config, request);
    Err("not in this build".into())
}
