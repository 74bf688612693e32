//! One case, shared by those who configure it and those who check it: a local speaker, and a link and two sessions with
//! each peer.

use std::{
    fmt::Write,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;

use crate::common::{address, prefix};

/// What the local side originates.
pub(crate) const CONTAINER: [&str; 2] = ["192.168.1.1/32", "2001:db8:1::1/128"];

/// The key of TCP-MD5.
const KEY: &str = "three-can-keep-a-secret";

/// Who is there.
pub(crate) const PEERS: &[Peer] = &[
    Peer { number: 1, name: "frr", speaker: Speaker::Frr },
    Peer { number: 2, name: "bird", speaker: Speaker::Bird },
    Peer { number: 3, name: "gobgp", speaker: Speaker::GoBgp },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    Petiole,
    Frr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    None,
    Md5,
    Gtsm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    Frr,
    Bird,
    GoBgp,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) local: Local,
    pub(crate) protection: Protection,
}

/// A peer, and the addresses that follow from its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    number: u8,
    pub(crate) name: &'static str,
    pub(crate) speaker: Speaker,
}

impl Peer {
    /// The local interface to this peer.
    pub(crate) fn interface(&self) -> String {
        format!("eth{}", self.number)
    }

    fn asn(&self) -> u32 {
        65100 + u32::from(self.number)
    }

    pub(crate) fn local4(&self) -> String {
        format!("10.0.{}.1", self.number)
    }

    pub(crate) fn local6(&self) -> String {
        format!("2001:db8:a{}::1", self.number)
    }

    fn own4(&self) -> String {
        format!("10.0.{}.2", self.number)
    }

    fn own6(&self) -> String {
        format!("2001:db8:a{}::2", self.number)
    }

    /// What the peer originates, and its own address of that family.
    pub(crate) fn routes(&self) -> [(IpNet, IpAddr); 2] {
        let n = self.number;
        [
            (prefix(&format!("203.0.{n}.0/24")), address(&self.own4())),
            (prefix(&format!("2001:db8:c{n}::/48")), address(&self.own6())),
        ]
    }
}

impl Case {
    /// Writes the topology and all configurations; returns the topology's file.
    pub(crate) fn write(self) -> PathBuf {
        let name = format!("interop-{:?}-{:?}", self.local, self.protection).to_lowercase();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        fs::create_dir_all(&folder).unwrap();
        let put = |file: &str, text: String| fs::write(folder.join(file), text).unwrap();
        put("daemons", "bgpd=yes\nfrr_profile=\"datacenter\"\nbgpd_options=\"-A 127.0.0.1\"\n".to_owned());
        put("leaf.key", format!("{KEY}\n"));
        put("petiole.toml", self.petiole());
        put("local.conf", self.local_frr());
        for peer in PEERS {
            match peer.speaker {
                Speaker::Frr => put("frr.conf", self.frr(peer)),
                Speaker::Bird => put("bird.conf", self.bird(peer)),
                Speaker::GoBgp => put("gobgpd.conf", self.gobgp(peer)),
            }
        }
        let file = folder.join(format!("{name}.clab.yml"));
        fs::write(&file, self.topology(&name)).unwrap();
        file
    }

    fn topology(self, name: &str) -> String {
        let mut text = format!(
            "name: {name}\ntopology:\n  defaults:\n    kind: linux\n    sysctls:\n      \
             net.ipv6.conf.default.accept_dad: 0\n  nodes:\n    local:\n"
        );
        text += match self.local {
            Local::Petiole => {
                "      image: petiole:latest\n      binds:\n        - petiole.toml:/etc/petiole/petiole.toml\n        \
                 - leaf.key:/etc/petiole/leaf.key\n      exec:\n        - ip netns add web1\n"
            }
            Local::Frr => {
                "      image: frrouting/frr:v8.4.4\n      binds:\n        - daemons:/etc/frr/daemons\n        \
                 - local.conf:/etc/frr/frr.conf\n"
            }
        };
        for peer in PEERS {
            let _ = writeln!(text, "    {}:", peer.name);
            text += match peer.speaker {
                Speaker::Frr => {
                    "      image: frrouting/frr:v8.4.4\n      binds:\n        - daemons:/etc/frr/daemons\n        \
                     - frr.conf:/etc/frr/frr.conf\n"
                }
                Speaker::Bird => {
                    "      image: bird:2\n      binds:\n        - bird.conf:/etc/bird/bird.conf\n"
                }
                Speaker::GoBgp => {
                    "      image: gobgp:3\n      binds:\n        - gobgpd.conf:/etc/gobgp/gobgpd.conf\n"
                }
            };
            // FRR has the addresses in its own configuration.
            if peer.speaker != Speaker::Frr {
                let _ = writeln!(text, "      exec:\n        - ip address add {}/24 dev eth1", peer.own4());
                let _ = writeln!(text, "        - ip address add {}/64 dev eth1", peer.own6());
            }
        }
        text += "  links:\n";
        for peer in PEERS {
            let _ =
                writeln!(text, "    - endpoints: [\"local:{}\", \"{}:eth1\"]", peer.interface(), peer.name);
        }
        text
    }

    fn petiole(self) -> String {
        let mut text = "[host]\nname = \"local\"\nasn = 65010\nrouter-id = \"10.0.0.1\"\n".to_owned();
        for peer in PEERS {
            let _ = write!(
                text,
                "\n[[uplink]]\ninterface = \"{}\"\naddress = [\"{}/24\", \"{}/64\"]\n",
                peer.interface(),
                peer.local4(),
                peer.local6()
            );
            for (name, address, family) in [
                (peer.name.to_owned(), peer.own4(), "ipv4"),
                (format!("{}-v6", peer.name), peer.own6(), "ipv6"),
            ] {
                let _ = write!(
                    text,
                    "\n[[neighbor]]\nname = \"{name}\"\naddress = \"{address}\"\nasn = {}\nimport = \"all\"\n\
                     families = [\"{family}\"]\nhold-time = 9\nconnect-retry = 1\n",
                    peer.asn()
                );
                text += match self.protection {
                    Protection::None => "",
                    Protection::Md5 => "password-file = \"/etc/petiole/leaf.key\"\n",
                    Protection::Gtsm => "ttl-security = true\n",
                };
            }
        }
        text += "\n[[network]]\nname = \"public\"\nencap = \"routed\"\nsubnet = \"192.168.1.0/24\"\n\
            gateway = \"192.168.1.254\"\nsubnet6 = \"2001:db8:1::/64\"\n\n\
            [[endpoint]]\nname = \"web1\"\nnetwork = \"public\"\nnetns = \"/run/netns/web1\"\n\
            address = \"192.168.1.1\"\naddress6 = \"2001:db8:1::1\"\n";
        text
    }

    /// FRR as the local side: the container is a blackhole.
    fn local_frr(self) -> String {
        let mut text = frr_head("local");
        let mut neighbors = String::new();
        let mut family6 = String::new();
        for peer in PEERS {
            let _ = write!(
                text,
                "interface {}\n ip address {}/24\n ipv6 address {}/64\n!\n",
                peer.interface(),
                peer.local4(),
                peer.local6()
            );
            for address in [peer.own4(), peer.own6()] {
                neighbors += &self.frr_neighbor(&address, peer.asn());
            }
            let _ = writeln!(family6, "  neighbor {} activate", peer.own6());
        }
        let [v4, v6] = CONTAINER;
        let _ = write!(text, "ip route {v4} Null0\nipv6 route {v6} Null0\n!\n");
        text + &frr_bgp(65010, "10.0.0.1", &neighbors, &family6)
    }

    fn frr(self, peer: &Peer) -> String {
        let mut text = frr_head(peer.name);
        let _ = write!(
            text,
            "interface eth1\n ip address {}/24\n ipv6 address {}/64\n!\n",
            peer.own4(),
            peer.own6()
        );
        let [(v4, _), (v6, _)] = peer.routes();
        let _ = write!(text, "ip route {v4} Null0\nipv6 route {v6} Null0\n!\n");
        let mut neighbors = String::new();
        for address in [peer.local4(), peer.local6()] {
            neighbors += &self.frr_neighbor(&address, 65010);
        }
        let family6 = format!("  neighbor {} activate\n", peer.local6());
        text + &frr_bgp(peer.asn(), &peer.own4(), &neighbors, &family6)
    }

    fn frr_neighbor(self, address: &str, asn: u32) -> String {
        let mut text = format!(" neighbor {address} remote-as {asn}\n neighbor {address} timers connect 1\n");
        let _ = match self.protection {
            Protection::None => Ok(()),
            Protection::Md5 => writeln!(text, " neighbor {address} password {KEY}"),
            Protection::Gtsm => writeln!(text, " neighbor {address} ttl-security hops 1"),
        };
        text
    }

    fn bird(self, peer: &Peer) -> String {
        let [(v4, _), (v6, _)] = peer.routes();
        let protection = match self.protection {
            Protection::None => String::new(),
            Protection::Md5 => format!("  password \"{KEY}\";\n"),
            Protection::Gtsm => "  ttl security on;\n".to_owned(),
        };
        let mut text = format!(
            "router id {};\nprotocol device {{ }}\nprotocol kernel {{ ipv4 {{ export all; }}; }}\n\
             protocol kernel {{ ipv6 {{ export all; }}; }}\n\
             protocol static {{ ipv4; route {v4} blackhole; }}\nprotocol static {{ ipv6; route {v6} blackhole; }}\n",
            peer.own4()
        );
        for (name, own, local, family) in
            [("local4", peer.own4(), peer.local4(), "ipv4"), ("local6", peer.own6(), peer.local6(), "ipv6")]
        {
            let _ = write!(
                text,
                "protocol bgp {name} {{\n  local {own} as {};\n  neighbor {local} as 65010;\n  hold time 9;\n  \
                 connect retry time 1;\n  connect delay time 1;\n  error wait time 1, 2;\n{protection}  \
                 {family} {{ import all; export where source = RTS_STATIC; }};\n}}\n",
                peer.asn()
            );
        }
        text
    }

    fn gobgp(self, peer: &Peer) -> String {
        let mut text = format!("[global.config]\n  as = {}\n  router-id = \"{}\"\n", peer.asn(), peer.own4());
        for (local, family) in [(peer.local4(), "ipv4-unicast"), (peer.local6(), "ipv6-unicast")] {
            let _ = write!(
                text,
                "\n[[neighbors]]\n  [neighbors.config]\n    neighbor-address = \"{local}\"\n    peer-as = 65010\n"
            );
            if self.protection == Protection::Md5 {
                let _ = writeln!(text, "    auth-password = \"{KEY}\"");
            }
            text += "  [neighbors.timers.config]\n    connect-retry = 1\n    hold-time = 9\n    keepalive-interval = 3\n";
            if self.protection == Protection::Gtsm {
                text += "  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = 255\n";
            }
            let _ = write!(
                text,
                "  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n      afi-safi-name = \"{family}\"\n"
            );
        }
        text
    }
}

fn frr_head(name: &str) -> String {
    format!(
        "frr defaults datacenter\nhostname {name}\nservice integrated-vtysh-config\n!\nip forwarding\nipv6 forwarding\n!\n"
    )
}

fn frr_bgp(asn: u32, router_id: &str, neighbors: &str, family6: &str) -> String {
    // The same neighbours have no business in the other family.
    let withdrawn = family6.replace("  neighbor", "  no neighbor");
    format!(
        "router bgp {asn}\n bgp router-id {router_id}\n no bgp ebgp-requires-policy\n timers bgp 3 9\n{neighbors} !\n \
         address-family ipv4 unicast\n  redistribute static\n{withdrawn} exit-address-family\n !\n \
         address-family ipv6 unicast\n  redistribute static\n{family6} exit-address-family\n"
    )
}
