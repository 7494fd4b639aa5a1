fn main() -> std::io::Result<()> {
    let text = b"multi-arch".repeat(100);
    let small = liblzma::encode_all(&text[..], 6)?;
    let back = liblzma::decode_all(&small[..])?;
    assert_eq!(back, text);
    println!("{} back to {}", small.len() < 100, back.len());
    Ok(())
}
