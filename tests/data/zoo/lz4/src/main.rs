fn main() -> std::io::Result<()> {
    let text = b"multi-arch".repeat(100);
    let small = lz4::block::compress(&text, None, true)?;
    let back = lz4::block::decompress(&small, None)?;
    assert_eq!(back, text);
    println!("{} back to {}", small.len() < 100, back.len());
    Ok(())
}
