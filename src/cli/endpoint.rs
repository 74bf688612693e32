//! `petiole endpoint`: containers by hand.

use std::{io::Write, path::Path};

use clap::{Args, Subcommand};
use petiole_config::{EndpointRequest, model::ScopedName};

use crate::control::{
    Request, Show, client,
    rows::{Endpoint, Rows},
};

use super::show;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Attach a container to a network. Returns when it can be reached: kernel and journal have it. The same request
    /// again gets the same answer.
    Add(Box<Add>),
    /// Take a container out again. One that is not there is taken out already.
    Del {
        /// The endpoint's name.
        name: String,
        /// Its tenant.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
    },
    /// List the endpoints: the same as `show endpoints`.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The endpoint's name, unique in its tenant.
    name: String,
    /// The network it joins.
    #[arg(long, value_name = "NETWORK", required_unless_present = "group", conflicts_with = "group")]
    network: Option<String>,
    /// The group it joins, and with it the group's network.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The container's network namespace, as /run/netns/NAME or /proc/PID/ns/net.
    #[arg(long, value_name = "PATH")]
    netns: String,
    /// A fixed address; given twice, one of each family.
    #[arg(long, value_name = "ADDRESS", num_args = 1)]
    address: Vec<std::net::IpAddr>,
    /// The interface inside the container [default: eth0].
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// The tenant [default: default].
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Publish a port of the host: [ADDRESS:]HOST[-END]:CONTAINER[-END][/tcp|udp|sctp].
    #[arg(long, value_name = "PORTS")]
    publish: Vec<String>,
    /// Print JSON instead of a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(socket: &Path, command: Command) -> Result<(), String> {
    match command {
        Command::Add(add) => add.run(socket),
        Command::Del { name, tenant } => {
            let text = match tenant {
                Some(tenant) => format!("{tenant}/{name}"),
                None => name,
            };
            let name: ScopedName = text.parse().map_err(|e| format!("{text}: {e}"))?;
            super::request(socket, &Request::EndpointDel { name })
        }
        Command::List { json } => show::show(socket, Show::Endpoints, json),
    }
}

impl Add {
    fn run(self, socket: &Path) -> Result<(), String> {
        let mut fixed = [None, None];
        for address in self.address {
            if fixed[usize::from(address.is_ipv6())].replace(address.to_string()).is_some() {
                return Err(format!("{address}: one fixed address of each family at most"));
            }
        }
        let [address, address6] = fixed;
        // The daemon runs in another directory.
        let netns = std::path::absolute(&self.netns).map_err(|e| format!("{}: {e}", self.netns))?;
        let request = EndpointRequest {
            name: self.name,
            tenant: self.tenant,
            network: self.network,
            group: self.group,
            netns: netns.display().to_string(),
            interface: self.interface,
            address,
            address6,
            publish: self.publish,
        };
        let mut added = None;
        let asked = Request::EndpointAdd(request);
        client::ask(socket, &asked, |rows| {
            if let Rows::Endpoints(mut rows) = rows {
                added = rows.pop();
            }
            Ok(())
        })
        .map_err(|e| e.to_string())?;
        let added = added.ok_or("the daemon did not say what it added")?;
        let text =
            if self.json { serde_json::to_string(&added).map_err(|e| e.to_string())? } else { line(&added) };
        // A closed pipe is not worth an error here.
        let _ = writeln!(std::io::stdout(), "{text}");
        Ok(())
    }
}

/// Name, addresses, Ethernet address.
fn line(e: &Endpoint) -> String {
    let addresses: Vec<String> = e.addresses.iter().map(ToString::to_string).collect();
    format!("{} {} {}", e.name, addresses.join(" "), e.mac)
}
