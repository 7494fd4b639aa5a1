use std::io::Read;

fn main() -> std::io::Result<()> {
    let text = b"multi-arch".repeat(100);
    let mut small = Vec::new();
    xz2::read::XzEncoder::new(&text[..], 6).read_to_end(&mut small)?;
    let mut back = Vec::new();
    xz2::read::XzDecoder::new(&small[..]).read_to_end(&mut back)?;
    assert_eq!(back, text);
    println!("{} back to {}", small.len() < 100, back.len());
    Ok(())
}
