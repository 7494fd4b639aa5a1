fn main() {
    let pattern = pcre2::bytes::Regex::new(r"(?<=-)\w+").expect("pattern");
    let found = pattern.find(b"multi-arch").expect("no error").expect("a match");
    println!("matched {}", String::from_utf8_lossy(found.as_bytes()));
}
