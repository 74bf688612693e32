//! Seeds: what FRR, BIRD and GoBGP say.

use std::path::Path;

/// The seeds of a target, out of the captures in `vectors`.
pub fn seeds(target: &str, vectors: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = std::fs::read_dir(vectors)
        .expect("vectors")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .collect();
    files.sort();
    files.iter().flat_map(|path| of_file(target, path)).collect()
}

fn of_file(target: &str, path: &Path) -> Vec<Vec<u8>> {
    let name = path.to_string_lossy();
    // The bits of `session`: four-octet AS, extended message, external, no IPv4, no IPv6, extended next hop.
    let bits = match () {
        () if name.contains("two") => 0b00_0110,
        () if name.contains("internal") => 0b10_0011,
        () => 0b10_0111,
    };
    let capture = std::fs::read_to_string(path).expect("capture");
    let messages = capture.lines().filter_map(|line| octets(line.split_once(' ')?.1));
    let kind = match target {
        "message" => {
            let mut stream = vec![bits];
            messages.for_each(|message| stream.extend_from_slice(&message));
            return vec![stream];
        }
        "open" => 1,
        "update" => 2,
        "notification" => 3,
        _ => 5,
    };
    let prefix: &[u8] = if target == "update" { &[bits] } else { &[] };
    messages.filter(|message| message[18] == kind).map(|message| [prefix, &message[19..]].concat()).collect()
}

fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}
