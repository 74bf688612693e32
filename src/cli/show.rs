//! `petiole show`: rows as tables or as JSON.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use crate::control::{
    Request, Show, VERSION, client,
    rows::{Endpoint, FibObject, Neighbor, Network, Path as RoutePath, Route, Rows, Vtep},
};

use super::{
    policy,
    table::{Table, duration, or_dash},
};

/// Asks the daemon and prints what it says.
pub(super) fn show(socket: &Path, show: Show, json: bool) -> Result<(), String> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut printer: Box<dyn Printer> =
        if json { Box::new(Json::new(&show)) } else { Box::new(Tables::new(&show)) };
    let asked = client::ask(socket, &Request::Show(show), |rows| printer.part(&mut out, rows));
    let result = match asked {
        Ok(_) => printer.end(&mut out).and_then(|()| out.flush()),
        Err(client::ClientError::Broken(e)) => Err(e),
        Err(e) => return Err(e.to_string()),
    };
    match result {
        // `petiole show routes | head`
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| e.to_string()),
    }
}

type Out<'a> = BufWriter<io::StdoutLock<'a>>;

trait Printer {
    fn part(&mut self, out: &mut Out<'_>, rows: Rows) -> io::Result<()>;
    fn end(&mut self, out: &mut Out<'_>) -> io::Result<()>;
}

/// `{"version": 1, "<what>": [ … ]}`, one row a line, written as it comes.
struct Json {
    name: &'static str,
    started: bool,
    object: bool,
}

impl Json {
    fn new(show: &Show) -> Self {
        let name = match show {
            Show::Neighbors => "neighbors",
            Show::Routes => "routes",
            Show::Received { .. } => "received",
            Show::Advertised { .. } => "advertised",
            Show::Fib => "fib",
            Show::Endpoints => "endpoints",
            Show::Networks => "networks",
            Show::Groups { .. } => "groups",
            Show::Policies => "policies",
            Show::Profiles => "profiles",
            Show::Vteps => "vteps",
            Show::Config => "config",
        };
        Self { name, started: false, object: matches!(show, Show::Config) }
    }

    fn begin(&mut self, out: &mut Out<'_>) -> io::Result<()> {
        let open = if self.object { "" } else { "[" };
        write!(out, "{{\"version\": {VERSION}, \"{}\": {open}", self.name)
    }

    fn rows<T: serde::Serialize>(&mut self, out: &mut Out<'_>, rows: &[T]) -> io::Result<()> {
        for row in rows {
            if self.started {
                out.write_all(b",\n ")?;
            } else {
                self.begin(out)?;
                out.write_all(b"\n ")?;
                self.started = true;
            }
            serde_json::to_writer(&mut *out, row)?;
        }
        Ok(())
    }
}

impl Printer for Json {
    fn part(&mut self, out: &mut Out<'_>, rows: Rows) -> io::Result<()> {
        match rows {
            Rows::Neighbors(r) => self.rows(out, &r),
            Rows::Routes(r) => self.rows(out, &r),
            Rows::Received(r) | Rows::Advertised(r) => self.rows(out, &r),
            Rows::Fib(r) => self.rows(out, &r),
            Rows::Endpoints(r) => self.rows(out, &r),
            Rows::Networks(r) => self.rows(out, &r),
            Rows::Vteps(r) => self.rows(out, &r),
            Rows::Groups(r) => self.rows(out, &r),
            Rows::Policies(r) => self.rows(out, &r),
            Rows::Profiles(r) => self.rows(out, &r),
            // The answer to another question.
            Rows::Explained(_) => Ok(()),
            Rows::Config(value) => {
                self.begin(out)?;
                self.started = true;
                serde_json::to_writer_pretty(&mut *out, &value).map_err(Into::into)
            }
        }
    }

    fn end(&mut self, out: &mut Out<'_>) -> io::Result<()> {
        if !self.started {
            self.begin(out)?;
        }
        out.write_all(if self.object { b"}\n" } else { b"]}\n" })
    }
}

/// Tables for people.
struct Tables {
    table: Table<'static>,
    /// Rows that wait for others, so that their columns are equally wide.
    waiting: Vec<Vec<String>>,
    /// What is to be said after the table, each once.
    warnings: Vec<String>,
}

/// A table of fewer rows than this is aligned as a whole; a longer one is written in parts of as many.
const ALIGNED: usize = 2000;

const PATH: &[&str] =
    &["", "prefix", "next hop", "neighbor", "med", "pref", "as path", "origin", "communities"];

impl Tables {
    fn new(show: &Show) -> Self {
        let header: &'static [&'static str] = match show {
            Show::Neighbors => &[
                "neighbor",
                "address",
                "as",
                "state",
                "time",
                "family",
                "received",
                "accepted",
                "sent",
                "last error",
            ],
            Show::Routes => {
                &["", "prefix", "next hop", "neighbor", "med", "pref", "as path", "origin", "reason"]
            }
            Show::Received { .. } | Show::Advertised { .. } => PATH,
            Show::Fib => &["kind", "endpoint", "key", "value", "state", "error"],
            Show::Endpoints => &[
                "endpoint",
                "network",
                "group",
                "address",
                "mac",
                "interface",
                "state",
                "advertised",
                "netns",
                "error",
            ],
            Show::Networks => &[
                "network",
                "encap",
                "tag",
                "device",
                "subnet",
                "gateway",
                "advertise",
                "pool",
                "used",
                "endpoints",
                "mtu",
                "state",
                "error",
            ],
            Show::Groups { .. } => policy::GROUPS,
            Show::Policies => policy::POLICIES,
            Show::Profiles => policy::PROFILES,
            Show::Vteps => &["network", "vni", "device", "local", "remote", "port", "state"],
            Show::Config => &[],
        };
        Self { table: Table::new(header), waiting: Vec::new(), warnings: Vec::new() }
    }
}

impl Printer for Tables {
    fn part(&mut self, out: &mut Out<'_>, rows: Rows) -> io::Result<()> {
        let cells: Vec<Vec<String>> = match &rows {
            Rows::Neighbors(r) => r.iter().flat_map(neighbor).collect(),
            Rows::Routes(r) => r.iter().flat_map(route).collect(),
            Rows::Received(r) | Rows::Advertised(r) => {
                r.iter().map(|p| path(p, p.communities.join(" "))).collect()
            }
            Rows::Fib(r) => r.iter().map(fib).collect(),
            Rows::Endpoints(r) => r.iter().map(endpoint).collect(),
            Rows::Networks(r) => r.iter().map(network).collect(),
            Rows::Vteps(r) => r.iter().map(vtep).collect(),
            Rows::Groups(r) => {
                // All groups of a network have the same.
                for warning in r.iter().flat_map(|g| &g.warnings) {
                    if !self.warnings.contains(warning) {
                        self.warnings.push(warning.clone());
                    }
                }
                r.iter().map(policy::group).collect()
            }
            Rows::Policies(r) => r.iter().map(policy::rule).collect(),
            Rows::Profiles(r) => r.iter().map(policy::profile).collect(),
            Rows::Explained(_) => Vec::new(),
            Rows::Config(value) => {
                serde_json::to_writer_pretty(&mut *out, value)?;
                return writeln!(out);
            }
        };
        self.waiting.extend(cells);
        if self.waiting.len() < ALIGNED {
            return Ok(());
        }
        self.table.write(out, &std::mem::take(&mut self.waiting))
    }

    fn end(&mut self, out: &mut Out<'_>) -> io::Result<()> {
        self.table.write(out, &std::mem::take(&mut self.waiting))?;
        for warning in &self.warnings {
            writeln!(out, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}

fn neighbor(n: &Neighbor) -> Vec<Vec<String>> {
    let time = match (n.uptime, n.next_attempt) {
        (Some(up), _) => duration(up),
        (None, Some(next)) => format!("in {}", duration(next)),
        (None, None) => "-".into(),
    };
    let first = vec![n.name.clone(), n.address.to_string(), or_dash(n.asn), n.state.clone(), time];
    let error = n.last_error.clone().unwrap_or_default();
    if n.families.is_empty() {
        return vec![[first, vec!["-".into(), "-".into(), "-".into(), "-".into(), error]].concat()];
    }
    let again = vec![String::new(); first.len()];
    n.families
        .iter()
        .enumerate()
        .map(|(i, f)| {
            let counts = [f.received, f.accepted, f.advertised].map(|c| c.to_string());
            let mut row = if i == 0 { first.clone() } else { again.clone() };
            row.push(f.family.clone());
            row.extend(counts);
            row.push(if i == 0 { error.clone() } else { String::new() });
            row
        })
        .collect()
}

fn route(r: &Route) -> Vec<Vec<String>> {
    r.paths.iter().map(|p| path(p, p.reason.clone().unwrap_or_default())).collect()
}

fn path(p: &RoutePath, last: String) -> Vec<String> {
    let mark = match (p.best, p.multipath) {
        (true, _) => ">",
        (false, true) => "=",
        (false, false) => "",
    };
    vec![
        mark.into(),
        p.prefix.to_string(),
        or_dash(p.next_hop),
        p.neighbor.clone(),
        or_dash(p.med),
        or_dash(p.local_pref),
        p.as_path.clone(),
        p.origin.clone(),
        last,
    ]
}

fn fib(o: &FibObject) -> Vec<String> {
    vec![
        o.kind.clone(),
        or_dash(o.endpoint.clone()),
        o.key.clone(),
        o.value.clone(),
        o.state.clone(),
        o.error.clone().unwrap_or_default(),
    ]
}

fn endpoint(e: &Endpoint) -> Vec<String> {
    let addresses: Vec<String> = e.addresses.iter().map(ToString::to_string).collect();
    vec![
        e.name.clone(),
        e.network.clone(),
        or_dash(e.group.clone()),
        addresses.join(" "),
        e.mac.clone(),
        format!("{} ({})", e.host_interface, e.interface),
        e.state.clone(),
        if e.advertised { "yes" } else { "no" }.into(),
        e.netns.clone(),
        e.error.clone().unwrap_or_default(),
    ]
}

fn network(n: &Network) -> Vec<String> {
    let text = |v: &[String]| if v.is_empty() { "-".into() } else { v.join(" ") };
    let subnets: Vec<String> = n.subnets.iter().map(ToString::to_string).collect();
    let gateways: Vec<String> = n.gateways.iter().map(ToString::to_string).collect();
    vec![
        n.name.clone(),
        n.encap.clone(),
        or_dash(n.tag),
        or_dash(n.device.clone()),
        text(&subnets),
        text(&gateways),
        n.advertise.clone(),
        n.pool_size.to_string(),
        n.pool_used.to_string(),
        n.endpoints.to_string(),
        or_dash(n.mtu),
        n.state.clone(),
        n.error.clone().unwrap_or_default(),
    ]
}

fn vtep(v: &Vtep) -> Vec<String> {
    vec![
        v.network.clone(),
        v.vni.to_string(),
        v.device.clone(),
        v.local.to_string(),
        v.remote.to_string(),
        v.port.to_string(),
        v.state.clone(),
    ]
}
