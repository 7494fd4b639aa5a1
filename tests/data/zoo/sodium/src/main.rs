fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn main() {
    let mut digest = [0u8; 32];
    // SAFETY: the digest has the 32 bytes that SHA-256 writes.
    unsafe {
        assert!(libsodium_sys::sodium_init() >= 0);
        libsodium_sys::crypto_hash_sha256(digest.as_mut_ptr(), b"abc".as_ptr(), 3);
    }
    println!("sha256 {}", hex(&digest[..8]));
}
