//! Whatever happens in whatever order, kernel, journal and addresses agree when it is over. Random sequences from
//! seeds: a failure names its seed.

use petiole_fib::fake::Fault;

use super::*;

/// A small generator (Knuth's MMIX constants): the same sequence on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn file(with_container: bool) -> HostConfig {
    let endpoint =
        "[[endpoint]]\nname = \"web\"\nnetwork = \"vx\"\nnetns = \"/run/netns/a\"\ninterface = \"eth9\"\n";
    config(&format!("{BARE}{}{}", networks::BRIDGED, if with_container { endpoint } else { "" }))
}

/// One random thing.
fn happens(mut host: Host, dice: &mut Dice) -> Host {
    let name = NAMES[dice.roll(4) as usize];
    let there = host.present.contains_key(&Path::new("/run/netns").join(name));
    match dice.roll(13) {
        0..=3 if there => {
            let network = ["public", "vx", "vl"][dice.roll(3) as usize];
            let port = 8000 + u16::from(name.as_bytes()[0]);
            let publish = if dice.roll(2) == 0 && network != "vl" {
                vec![format!("{port}:80/tcp")]
            } else {
                Vec::new()
            };
            host.ask(&EndpointRequest { publish, ..request(name, network) });
        }
        4 | 5 => drop(host.ask_to_remove(name)),
        6 if there => host.vanish(name),
        6 | 7 if !there => host.appear(name),
        8 => {
            let config = file(dice.roll(2) == 0);
            let _ = host.core.reconfigure(config, host.now);
        }
        9 => {
            let at = host.kernel.operations() + dice.roll(30);
            host.kernel.fail_at(at, Fault::Refuse(libc::ENOMEM));
        }
        10 => host.disk = [Disk::Fast, Disk::Slow, Disk::Stuck, Disk::Full][dice.roll(4) as usize],
        11 => host.pass(dice.roll(4)),
        12 if dice.roll(3) == 0 => {
            let config = host.core.config.clone();
            host = host.again_but(&config, |_| {});
        }
        _ => {}
    }
    host.steps(dice.roll(25) as usize);
    host
}

/// Journal, core and kernel say the same of every endpoint.
fn agree(host: &Host, seed: u64) {
    for row in host.rows() {
        let name: ScopedName = row.name.parse().unwrap();
        assert_eq!(
            host.stored.endpoints.contains_key(&name),
            row.origin == "request",
            "seed {seed}: {row:?}"
        );
        let there = host.present.contains_key(Path::new(&row.netns));
        assert_eq!(row.state, if there { "attached" } else { "waiting" }, "seed {seed}: {row:?}");
        for address in &row.addresses {
            assert_eq!(
                host.owner(&row.network, &address.to_string()).as_deref(),
                Some(&*row.name),
                "seed {seed}"
            );
        }
    }
    let at_run_time = host.rows().into_iter().filter(|r| r.origin == "request").count();
    assert_eq!(host.stored.endpoints.len(), at_run_time, "seed {seed}: {:?}", host.stored.endpoints);
}

#[test]
fn kernel_journal_and_addresses_agree_after_anything() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut host = Host::start(&file(false));
        for _ in 0..40 {
            host = happens(host, &mut dice);
        }
        host.disk = Disk::Fast;
        host.kernel.forget_faults();
        host.settle();
        host.pass(12);
        host.settle();
        agree(&host, seed);

        // A restart changes nothing, neither what there is nor what is said of it.
        // One of the file that waits for its namespace may be given another address.
        let stands =
            |host: &Host| host.rows().into_iter().filter(|r| r.state == "attached").collect::<Vec<_>>();
        let (whole, rows) = (host.whole(), stands(&host));
        let config = host.core.config.clone();
        let mut host = host.again(&config);
        assert_eq!(host.whole(), whole, "seed {seed}: restarted");
        assert_eq!(stands(&host), rows, "seed {seed}: restarted");

        // And what comes can go.
        for name in NAMES {
            host.remove(name).unwrap();
        }
        host.reload(&file(false)).unwrap();
        for name in NAMES {
            host.vanish(name);
        }
        host.settle();
        assert_eq!(host.whole(), Host::start(&file(false)).whole(), "seed {seed}: emptied");
    }
}
