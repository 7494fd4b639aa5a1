use std::io::Read;

fn main() -> std::io::Result<()> {
    let text = b"multi-arch".repeat(100);
    let mut small = Vec::new();
    bzip2::read::BzEncoder::new(&text[..], bzip2::Compression::best()).read_to_end(&mut small)?;
    let mut back = Vec::new();
    bzip2::read::BzDecoder::new(&small[..]).read_to_end(&mut back)?;
    assert_eq!(back, text);
    println!("{} back to {}", small.len() < 100, back.len());
    Ok(())
}
