use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let text = b"multi-arch".repeat(100);
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&text)?;
    let small = encoder.finish()?;
    let mut back = Vec::new();
    flate2::read::ZlibDecoder::new(&small[..]).read_to_end(&mut back)?;
    assert_eq!(back, text);
    println!("{} back to {}", small.len() < 100, back.len());
    Ok(())
}
