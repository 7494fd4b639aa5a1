fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn main() {
    println!("sha256 {}", hex(&openssl::sha::sha256(b"abc")[..8]));
}
