fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

use nettle::hash::{Hash, Sha256};

fn main() {
    let (mut hash, mut digest) = (Sha256::default(), [0; 32]);
    hash.update(b"abc");
    hash.digest(&mut digest);
    println!("sha256 {}", hex(&digest[..8]));
}
