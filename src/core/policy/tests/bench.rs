//! What compiling policies costs. Not a test: `cargo test --release -p petiole policy_cost -- --ignored --nocapture`.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use petiole_fib::{
    acl,
    model::{Event, Ns},
    owner::Owner,
    plan::Fib,
};

use super::super::compile::Compiled;
use crate::core::tests::config;

const GROUPS: usize = 200;
const RULES_EACH: usize = 50;

fn text(more: &str) -> String {
    let mut text = String::from("[[network]]\nname = \"n\"\nsubnet = \"172.16.0.0/16\"\n");
    for group in 0..GROUPS {
        let _ = write!(text, "[[group]]\nname = \"g{group}\"\nnetwork = \"n\"\npolicies = [\"p{group}\"]\n");
        let _ = write!(text, "[[policy]]\nname = \"p{group}\"\nrules = [\n");
        for rule in 0..RULES_EACH {
            let (peer, port) = ((group * 7 + rule * 3) % GROUPS, 8000 + rule);
            let action = ["allow", "deny"][rule % 2];
            let _ = writeln!(
                text,
                "{{ id = \"r{rule}\", protocol = \"tcp\", port = \"{port}\", from-group = \"g{peer}\", \
                 action = \"{action}\", priority = {} }},",
                1 + rule % 5
            );
        }
        if group == 9 {
            text += more;
        }
        text += "]\n";
    }
    text
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[test]
#[ignore = "a measurement"]
fn policy_cost() {
    let start = Instant::now();
    let before = config(&text(""));
    let parsed = start.elapsed();
    let after = config(&text("{ id = \"new\", protocol = \"udp\", port = \"53\", from-group = \"g3\" },\n"));
    let start = Instant::now();
    let compiled = Compiled::new(&before);
    let took = start.elapsed();
    let start = Instant::now();
    let mut objects = acl::program(&compiled.table, []);
    objects.extend(acl::elements(&compiled.table));
    let made = start.elapsed();
    println!("{} rules in {GROUPS} groups: {} objects", GROUPS * RULES_EACH, objects.len());
    println!(
        "read and checked in {:.1} ms, compiled in {:.1} ms, objects in {:.1} ms",
        ms(parsed),
        ms(took),
        ms(made)
    );

    let mut fib = Fib::new(Owner::default());
    fib.watch_ns(Ns::HOST);
    for request in fib.take_requests() {
        if let petiole_fib::model::Command::Dump(ns, concern) = request {
            fib.observe(Event::Dump { ns, concern, objects: Vec::new(), last: true }, Instant::now());
        }
    }
    let start = Instant::now();
    for object in objects {
        fib.want(object);
    }
    println!("wanted in {:.1} ms", ms(start.elapsed()));
    let start = Instant::now();
    let compiled = Compiled::new(&after);
    let mut objects = acl::program(&compiled.table, []);
    objects.extend(acl::elements(&compiled.table));
    for object in objects {
        fib.want(object);
    }
    println!("with one rule more compiled and compared in {:.1} ms", ms(start.elapsed()));
}
