//! `lab`: containerlab topologies in network namespaces, by hand.

mod commands;
mod demo;
mod probe;
mod state;
mod talk;

use std::{
    env,
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use petiole_netns_tests::{Question, Service, holder};

/// Brings containerlab topologies up in network namespaces.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads a topology file and says what is in it; changes nothing.
    Check {
        /// The topology, `<name>.clab.yml`.
        file: PathBuf,
    },
    /// Brings a topology up; it stays up until `lab down`.
    Up(Up),
    /// Ends a lab and everything in it.
    Down(Which),
    /// Lists the labs that are up.
    List,
    /// Runs a command in a node, or in a container of a node.
    Exec {
        #[command(flatten)]
        which: Which,
        /// The node; `node/container` for a network namespace of the node.
        place: String,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Prints the logs of a node's programs.
    Logs {
        #[command(flatten)]
        which: Which,
        /// The node.
        node: String,
    },
    /// Prints what an operator would look at: sessions, routes, addresses, ends of logs of all nodes.
    Dump(Which),
    /// Brings a topology up, runs a command on this machine, and ends the lab. `lab exec` in the command means this lab.
    Run {
        #[command(flatten)]
        up: Up,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Runs the contiv-l3 topology and shows that it does what it is for.
    Demo(Up),
    /// Tells everybody who asks what their address looks like from here. For `lab exec`.
    Answer {
        /// How.
        protocol: talk::Protocol,
        /// Where.
        address: SocketAddr,
    },
    /// Says what is on standard input to an address and prints the answer. For `lab exec`.
    Ask {
        /// How.
        protocol: talk::Protocol,
        /// Whom.
        address: SocketAddr,
        /// How long to wait for an answer.
        #[arg(long, value_name = "SECONDS", default_value_t = 2)]
        patience: u64,
    },
    /// Answers what is asked for services, each with what was said. For `lab exec`.
    Respond {
        /// `tcp/PORT`, `udp/PORT`, `sctp/PORT`, or the number of another protocol.
        services: Vec<Service>,
    },
    /// Asks all questions on standard input at once, a line each, `+ SERVICE ADDRESS` if an answer is expected and
    /// `- SERVICE ADDRESS` if not, and prints those that are answered. For `lab exec`.
    Probe {
        /// The address to ask from.
        #[arg(long)]
        from: Option<IpAddr>,
        /// How long to wait for what is not expected.
        #[arg(long, value_name = "MILLISECONDS", default_value_t = 150)]
        quiet: u64,
        /// How long to wait for what is.
        #[arg(long, value_name = "MILLISECONDS", default_value_t = 5000)]
        patience: u64,
    },
    /// Asks `SERVICE ADDRESS` again and again, and prints what is answered. For `lab exec`.
    Hammer {
        /// What, each in one word.
        #[arg(required = true)]
        questions: Vec<Question>,
    },
    /// Holds a conversation with `SERVICE ADDRESS`, which has to be responding. For `lab exec`.
    Talk {
        /// With whom, in one word.
        question: Question,
    },
}

#[derive(Debug, Args)]
struct Up {
    /// The topology, `<name>.clab.yml`.
    file: PathBuf,
    /// The petiole to run on hosts; otherwise PETIOLE_BIN, or the one that was built beside this program.
    #[arg(long)]
    petiole: Option<PathBuf>,
    /// Leaves this node without its programs; repeat for several.
    #[arg(long = "defer", value_name = "NODE")]
    deferred: Vec<String>,
}

#[derive(Debug, Args)]
struct Which {
    /// The lab; not needed when one is up, or inside of `lab run`.
    #[arg(long, env = "LAB")]
    lab: Option<String>,
}

fn main() -> ExitCode {
    if env::args_os().nth(1).is_some_and(|a| a == holder::HOLDER_ARGUMENT) {
        return ExitCode::from(u8::try_from(holder::run()).unwrap_or(1));
    }
    let done = match Cli::parse().command {
        Command::Check { file } => commands::check(&file),
        Command::Up(up) => commands::up(&up),
        Command::Down(which) => commands::down(which.lab),
        Command::List => Ok(commands::list()),
        Command::Exec { which, place, command } => commands::exec(which.lab, &place, &command),
        Command::Logs { which, node } => commands::logs(which.lab, &node),
        Command::Dump(which) => commands::dump(which.lab),
        Command::Run { up, command } => commands::run(&up, &command),
        Command::Demo(up) => demo::demo(&up),
        Command::Answer { protocol, address } => talk::answer(protocol, address),
        Command::Ask { protocol, address, patience } => {
            talk::ask(protocol, address, Duration::from_secs(patience))
        }
        Command::Respond { services } => probe::respond(&services),
        Command::Probe { from, quiet, patience } => {
            probe::probe(from, Duration::from_millis(quiet), Duration::from_millis(patience))
        }
        Command::Hammer { questions } => probe::hammer(&questions),
        Command::Talk { question } => probe::talk(question),
    };
    done.unwrap_or_else(|error| {
        eprintln!("lab: {error}");
        ExitCode::FAILURE
    })
}
