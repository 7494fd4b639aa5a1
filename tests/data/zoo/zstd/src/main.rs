fn main() -> std::io::Result<()> {
    let text = b"multi-arch".repeat(100);
    let small = zstd::encode_all(&text[..], 3)?;
    let back = zstd::decode_all(&small[..])?;
    assert_eq!(back, text);
    println!("{} back to {}", small.len() < 100, back.len());
    Ok(())
}
