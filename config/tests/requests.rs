//! Endpoints that are asked for at run time are held to the rules of the file, in its words.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use common::{HOST, taken, wrong};
use petiole_config::{EndpointRequest, HostConfig, request::endpoint};

const NETWORKS: &str = "[[neighbor]]\nname = \"leaf1\"\naddress = \"50.1.1.2\"\nasn = 500\nimport = \"all\"\n\
     [[tenant]]\nname = \"blue\"\n\
     [[network]]\nname = \"n\"\nsubnet = \"192.168.1.0/24\"\ngateway = \"192.168.1.254\"\nsubnet6 = \"2001:db8::/64\"\n\
     pool = [\"192.168.1.0/25\"]\n\
     [[network]]\nname = \"n\"\ntenant = \"blue\"\nencap = \"vlan\"\ntag = 1\nuplink = \"eth2\"\nsubnet = \"10.1.1.0/24\"\n\
     [[group]]\nname = \"g\"\nnetwork = \"n\"\npool = [\"192.168.1.8/29\"]\n\
     policies = [\"p\"]\nprofile = \"p\"\ndefault = \"deny\"\n\
     [[policy]]\nname = \"p\"\nrules = [{ id = \"1\", from-group = \"g\" }]\n[[profile]]\nname = \"p\"\ndscp = 1\n";

fn config() -> HostConfig {
    taken(&format!("{HOST}{NETWORKS}"))
}

/// A request in network `n`, with these other keys in JSON.
fn request(keys: &serde_json::Value) -> EndpointRequest {
    let mut all = serde_json::json!({ "name": "web", "netns": "/run/netns/web" });
    let all_keys = all.as_object_mut().unwrap();
    all_keys.extend(keys.as_object().unwrap().clone());
    if !all_keys.contains_key("group") && !all_keys.contains_key("network") {
        all_keys.insert("network".into(), "n".into());
    }
    serde_json::from_value(all).unwrap()
}

macro_rules! keys {
    ($($json:tt)*) => { request(&serde_json::json!({ $($json)* })) };
}

fn refused(request: &EndpointRequest) -> String {
    endpoint(&config(), request).unwrap_err()
}

/// The same request as a section of the file.
fn as_written(request: &EndpointRequest) -> String {
    let keys = serde_json::to_value(request).unwrap();
    let lines = keys.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}\n"));
    format!("{HOST}{NETWORKS}[[endpoint]]\n{}", lines.collect::<Vec<_>>().concat())
}

#[test]
fn what_the_file_takes_a_request_becomes_too() {
    for request in [
        keys!(),
        keys!("tenant": "blue"),
        keys!("tenant": "default", "interface": "eth1"),
        keys!("group": "g", "address": "192.168.1.9"),
        keys!("address": "192.168.1.20", "address6": "2001:db8::7"),
        keys!("publish": ["9099:80", "0.0.0.0:53:53/udp"]),
    ] {
        let config = taken(&as_written(&request));
        assert_eq!(endpoint(&config, &request).as_ref(), Ok(&config.endpoints[0]));
    }
}

#[test]
fn what_the_file_refuses_a_request_is_refused_too() {
    for request in [
        keys!("name": "a b"),
        keys!("name": ""),
        keys!("netns": "run/netns/web"),
        keys!("tenant": "green"),
        keys!("network": "m"),
        keys!("group": "g", "network": "n"),
        keys!("group": "h"),
        keys!("group": "g", "address": "192.168.1.20"),
        keys!("interface": "lo"),
        keys!("interface": "sixteen-bytes-xx"),
        keys!("address": "192.168.1.8"),
        keys!("address": "192.168.1.254"),
        keys!("address": "192.168.1.128"),
        keys!("address": "192.168.1"),
        keys!("address6": "192.168.1.20"),
        keys!("address6": "2001:db8::"),
        keys!("tenant": "blue", "address6": "2001:db8::7"),
        keys!("tenant": "blue", "publish": ["80:80"]),
        keys!("publish": ["80"]),
        keys!("publish": ["80:80", "80:81"]),
    ] {
        let (refusal, file) = (refused(&request), wrong(&as_written(&request)));
        assert_eq!(file.len(), 1, "{refusal}: {file:?}");
        assert!(!refusal.is_empty() && !refusal.contains('\n'), "{refusal}");
    }
}

#[test]
fn a_refusal_says_what_is_wrong_with_which_key_and_what_to_do() {
    assert_eq!(
        refused(&keys!("name": "a b", "network": "m")),
        "name: ` ` cannot stand in a name; names are letters, digits, `-`, `_` and `.`, at most 64; \
         there is no network `m` (did you mean \"n\"?); defined are n"
    );
    assert_eq!(
        refused(&keys!("tenant": "blue", "group": "g")),
        "there is no group `g` in tenant `blue` (not defined in this file); the file defines no group in tenant `blue`; \
         tenant `default` has one: `tenant = \"default\"` means that"
    );
    assert_eq!(
        refused(&keys!("address": "192.168.1.200")),
        "192.168.1.200 is outside the pool of network `n` (the pool is 192.168.1.1-192.168.1.127); \
         the pool is this host's share of the subnet; other hosts may give out the rest"
    );
    let neither = EndpointRequest { network: None, ..keys!() };
    assert_eq!(
        refused(&neither),
        "an endpoint has a `network` or a `group`; add `network = \"public\"`, or what is right here"
    );
}

#[test]
fn an_address_may_be_of_either_family() {
    let six = endpoint(&config(), &keys!("address": "2001:db8::7")).unwrap();
    assert_eq!((six.address, six.address6), (None, Some("2001:db8::7".parse().unwrap())));
    let error = refused(&keys!("address": "2001:db8::7", "address6": "2001:db8::8"));
    assert_eq!(error, "two IPv6 addresses, 2001:db8::7 and 2001:db8::8");
}

#[test]
fn a_request_is_plain_json_and_unknown_keys_are_errors() {
    let request = keys!("group": "g", "publish": ["80:80"]);
    let json = serde_json::to_string(&request).unwrap();
    assert_eq!(json, r#"{"name":"web","group":"g","netns":"/run/netns/web","publish":["80:80"]}"#);
    assert_eq!(serde_json::from_str::<EndpointRequest>(&json).unwrap(), request);
    assert!(
        serde_json::from_str::<EndpointRequest>(r#"{"name":"a","netns":"/a","adress":"1.1.1.1"}"#).is_err()
    );
}
