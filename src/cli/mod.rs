//! The command line. Exit codes: 0 done, 1 refused or failed (reason on stderr), 2 usage.
//!
//! Must not know the core: all but `run` and `check` only talk to the control socket.

mod endpoint;
mod explain;
mod policy;
mod show;
mod table;

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};

use petiole_config::LoadError;

use crate::control::{Request, Show, client};

/// Where the config file is when nothing else is said.
const CONFIG: &str = "/etc/petiole/petiole.toml";
/// Where the control socket is when nothing else is said.
const SOCKET: &str = "/run/petiole/petiole.sock";

/// Joins a container host to its data-centre fabric.
#[derive(Debug, Parser)]
#[command(name = "petiole", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Control socket of the daemon.
    #[arg(long, global = true, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground.
    Run {
        /// The config file.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// Check a config file and report everything that is wrong with it. Touches nothing.
    Check {
        /// The config file.
        #[arg(value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        /// Print the diagnostics as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Apply the config file again, whole or not at all.
    Reload,
    /// Containers by hand.
    #[command(subcommand)]
    Endpoint(endpoint::Command),
    /// End the daemon. What it installed stays in the kernel, and traffic goes on, unless told otherwise.
    Stop {
        /// Take everything of the daemon's own out of the kernel first: links, addresses, routes, rules.
        #[arg(long)]
        flush: bool,
    },
    /// Show what the daemon knows.
    Show {
        /// What to show.
        what: What,
        /// The neighbor's name or address, for `received` and `advertised`.
        #[arg(required_if_eq_any([("what", "received"), ("what", "advertised")]))]
        neighbor: Option<String>,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Say what becomes of traffic and why: container, address, route, group, session, and which rule decides.
    Explain(explain::Explain),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// BGP sessions.
    Neighbors,
    /// All routes with their paths, and why the best one is the best.
    Routes,
    /// What a neighbor announces to us, as the import policy left it.
    Received,
    /// What we announce to a neighbor, as sent.
    Advertised,
    /// The kernel objects that the daemon keeps.
    Fib,
    /// The containers.
    Endpoints,
    /// The networks.
    Networks,
    /// The groups of containers, and how many members are known; with `--json`, every one.
    Groups,
    /// The rules of policies in the order in which they decide, and how often they have.
    Policies,
    /// Limits and marks of groups.
    Profiles,
    /// The other hosts of VXLAN networks.
    Vteps,
    /// The running configuration, with all defaults.
    Config,
}

impl Cli {
    /// Does what the command line asks for.
    pub(crate) fn run(self) -> ExitCode {
        let result = match self.command {
            Command::Run { config } => crate::daemon::run(&config).map_err(|e| e.to_string()),
            Command::Check { config, json } => return check(&config, json),
            Command::Reload => request(&self.socket, &Request::Reload),
            Command::Endpoint(command) => endpoint::run(&self.socket, command),
            Command::Stop { flush } => request(&self.socket, &Request::Stop { flush }),
            Command::Show { what, neighbor, json } => {
                let neighbor = neighbor.unwrap_or_default();
                let wanted = match what {
                    What::Neighbors => Show::Neighbors,
                    What::Routes => Show::Routes,
                    What::Received => Show::Received { neighbor },
                    What::Advertised => Show::Advertised { neighbor },
                    What::Fib => Show::Fib,
                    What::Endpoints => Show::Endpoints,
                    What::Networks => Show::Networks,
                    What::Groups => Show::Groups { members: json },
                    What::Policies => Show::Policies,
                    What::Profiles => Show::Profiles,
                    What::Vteps => Show::Vteps,
                    What::Config => Show::Config,
                };
                show::show(&self.socket, wanted, json)
            }
            Command::Explain(explain) => explain.run(&self.socket),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(text) => {
                // The diagnostics of a config file come rendered, with their own "error:" in front.
                let text = text.trim_end();
                if text.starts_with("error") {
                    eprintln!("{text}");
                } else {
                    eprintln!("petiole: {text}");
                }
                ExitCode::FAILURE
            }
        }
    }
}

fn request(socket: &Path, request: &Request) -> Result<(), String> {
    let word = client::ask(socket, request, |_| Ok(())).map_err(|e| e.to_string())?;
    if let Some(word) = word {
        // A closed pipe is not worth an error here.
        let _ = writeln!(std::io::stdout(), "{word}");
    }
    Ok(())
}

fn check(path: &Path, json: bool) -> ExitCode {
    let color = std::io::stderr().is_terminal();
    let (diagnostics, code) = match petiole_config::load(path) {
        Ok(loaded) => (loaded.warnings, ExitCode::SUCCESS),
        Err(LoadError::Invalid(diagnostics)) => (diagnostics, ExitCode::FAILURE),
        Err(error @ LoadError::Read { .. }) => {
            eprintln!("petiole: {error}");
            return ExitCode::FAILURE;
        }
    };
    if json {
        println!("{}", diagnostics.to_json());
    } else {
        eprint!("{}", diagnostics.render(color));
        if code == ExitCode::SUCCESS {
            println!("{}: ok", path.display());
        }
    }
    code
}
