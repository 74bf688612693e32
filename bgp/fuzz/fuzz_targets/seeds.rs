//! Writes the first corpus: `seeds DIRECTORY` makes `DIRECTORY/<target>/vector-<number>`.

use std::path::Path;

use petiole_bgp_fuzz::{TARGETS, seeds};

fn main() {
    let directory = std::env::args().nth(1).expect("usage: seeds DIRECTORY");
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    for (name, _) in TARGETS {
        let place = Path::new(&directory).join(name);
        std::fs::create_dir_all(&place).expect("corpus directory");
        for (number, seed) in seeds(name, &vectors).iter().enumerate() {
            std::fs::write(place.join(format!("vector-{number:03}")), seed).expect("seed");
        }
    }
}
