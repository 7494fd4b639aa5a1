fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn main() {
    sodiumoxide::init().expect("init");
    println!("sha256 {}", hex(&sodiumoxide::crypto::hash::sha256::hash(b"abc").0[..8]));
}
