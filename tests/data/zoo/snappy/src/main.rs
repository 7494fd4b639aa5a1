fn main() {
    let text = b"multi-arch".repeat(100);
    let small = snappy::compress(&text);
    assert_eq!(snappy::uncompress(&small).expect("back"), text);
    println!("{} back to {}", small.len() < 100, text.len());
}
